package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/config"
	"github.com/holdfast-gateway/holdfast/gateway/server"
)

// issue writes a certificate for 127.0.0.1 and its key, and returns it.
func issue(t *testing.T, dir string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "gateway"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tls.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, filepath.Join(dir, "tls.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// trusting returns a client that trusts one certificate and speaks one protocol.
func trusting(t *testing.T, cert *x509.Certificate, two bool) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	protocols := &http.Protocols{}
	protocols.SetHTTP1(!two)
	protocols.SetHTTP2(two)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestTLSServesBothProtocolsAndANewCertificate(t *testing.T) {
	dir := t.TempDir()
	first := issue(t, dir, 1)
	g := start(t, strings.Replace(oneRoute, "providers:", "tls: {cert: "+dir+"/tls.crt, key: "+dir+"/tls.key}\nproviders:", 1), server.Options{Watch: 5 * time.Millisecond})
	for two, want := range map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"} {
		resp, err := trusting(t, first, two).Get("https://" + g.Addr() + "/v1/models")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Proto != want || resp.StatusCode != 200 {
			t.Errorf("got %s %d, want %s 200", resp.Proto, resp.StatusCode, want)
		}
	}
	write(t, filepath.Join(dir, "tls.crt"), "half a file")
	waitFor(t, "the bad certificate to be told", func() bool { return strings.Contains(g.log.String(), "certificate not changed") })
	if resp, err := trusting(t, first, false).Get("https://" + g.Addr() + "/livez"); err != nil {
		t.Errorf("a bad certificate replaced the good one: %v", err)
	} else {
		resp.Body.Close()
	}
	second := issue(t, dir, 2)
	waitFor(t, "the new certificate", func() bool {
		resp, err := trusting(t, second, true).Get("https://" + g.Addr() + "/livez")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	if resp, err := http.Get("http://" + g.Addr() + "/livez"); err == nil {
		resp.Body.Close()
		t.Error("it also answers without TLS")
	}
}

func TestFramingIsFollowedInsideTLSToo(t *testing.T) {
	dir := t.TempDir()
	cert := issue(t, dir, 1)
	g := start(t, strings.Replace(oneRoute, "providers:", "tls: {cert: "+dir+"/tls.crt, key: "+dir+"/tls.key}\nproviders:", 1), server.Options{})
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	conn, err := tls.Dial("tcp", g.Addr(), &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	answer, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("got %q", answer)
	}
}

func TestACertificateThatIsNotThereIsNamed(t *testing.T) {
	g := start(t, oneRoute, server.Options{})
	content, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, g.file, string(content)+"tls: {cert: /nowhere/a.crt, key: /nowhere/a.key}\n")
	if err := startOf(t, g.file); err == nil || !strings.Contains(err.Error(), "/nowhere/a.crt") {
		t.Errorf("got %v", err)
	}
}

func TestHTTP2IsSpokenWithoutTLS(t *testing.T) {
	g := start(t, oneRoute, server.Options{})
	protocols := &http.Protocols{}
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	text, err := streamOf(&http.Client{Transport: transport}, g.Addr(), "/v1/chat/completions", 20)
	if err != nil || !strings.HasSuffix(text, "data: [DONE]\n\n") {
		t.Errorf("got %q, %v", text, err)
	}
	resp, err := (&http.Client{Transport: transport}).Get("http://" + g.AdminAddr() + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Proto != "HTTP/2.0" {
		t.Errorf("operators got %s", resp.Proto)
	}
}

// startOf loads a file, opens its listeners and says what was wrong.
func startOf(t *testing.T, path string) error {
	t.Helper()
	file, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(file, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Start()
}
