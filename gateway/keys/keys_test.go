package keys_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/keys"
)

func TestAKeyIsFoundByItsDigestOnly(t *testing.T) {
	secret, digest := keys.New()
	set := keys.NewSet([]keys.Key{{Name: "app", Digest: digest}})
	if k, err := set.Find(secret, time.Now()); err != nil || k.Name != "app" {
		t.Errorf("Find = %v, %v", k.Name, err)
	}
	for presented, want := range map[string]error{
		"":                           keys.ErrMissing,
		secret + " ":                 keys.ErrUnknown,
		strings.ToUpper(secret):      keys.ErrUnknown,
		secret[:len(secret)-1]:       keys.ErrUnknown,
		digest.String():              keys.ErrUnknown, // who reads the file cannot call with what stands in it
		string(digest[:]):            keys.ErrUnknown,
		fmt.Sprintf("%x", digest[:]): keys.ErrUnknown,
	} {
		if _, err := set.Find(presented, time.Now()); !errors.Is(err, want) {
			t.Errorf("Find(%q) = %v, want %v", presented, err, want)
		}
	}
}

func TestAKeyOpensNothingFromTheMomentItExpires(t *testing.T) {
	secret, digest := keys.New()
	end := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	set := keys.NewSet([]keys.Key{{Name: "app", Digest: digest, Expires: end}})
	if _, err := set.Find(secret, end.Add(-time.Nanosecond)); err != nil {
		t.Errorf("just before: %v", err)
	}
	if _, err := set.Find(secret, end); !errors.Is(err, keys.ErrExpired) {
		t.Errorf("at the moment: %v, want ErrExpired", err)
	}
}

func TestAnEmptySetLetsNobodyIn(t *testing.T) {
	secret, _ := keys.New()
	if _, err := keys.NewSet(nil).Find(secret, time.Now()); !errors.Is(err, keys.ErrUnknown) {
		t.Errorf("got %v, want ErrUnknown", err)
	}
}

func TestADigestIsReadAsItIsWritten(t *testing.T) {
	_, digest := keys.New()
	for _, text := range []string{digest.String(), strings.TrimPrefix(digest.String(), "sha256:"), strings.ToUpper(fmt.Sprintf("%x", digest[:]))} {
		if got, err := keys.ParseDigest(text); err != nil || got != digest {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"", "sha256:", "abc", strings.Repeat("0", 63), strings.Repeat("g", 64), "hfk_secret",
		strings.Repeat("0", 64), "sha256:" + strings.Repeat("0", 64), keys.DigestOf("").String(), keys.DigestOf("\n").String(), keys.DigestOf(" ").String()} {
		if _, err := keys.ParseDigest(text); err == nil || text != "" && strings.Contains(err.Error(), text+" ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAKeyMayDoWhatItsListsSay(t *testing.T) {
	for _, c := range []struct {
		key          keys.Key
		route, model string
		want         bool
	}{
		{keys.Key{}, "chat", "gpt-4o", true},
		{keys.Key{Routes: []string{"chat"}}, "chat", "gpt-4o", true},
		{keys.Key{Routes: []string{"chat"}}, "batch", "gpt-4o", false},
		{keys.Key{Routes: []string{"chat"}}, "", "gpt-4o", false},
		{keys.Key{Models: []string{"gpt-*"}}, "chat", "gpt-4o", true},
		{keys.Key{Models: []string{"gpt-*"}}, "chat", "o3", false},
		{keys.Key{Models: []string{"*-4*mini"}}, "chat", "gpt-4o-mini", true},
		{keys.Key{Models: []string{"*-4*mini"}}, "chat", "gpt-4o", false},
		{keys.Key{Routes: []string{"chat"}, Models: []string{"o3"}}, "batch", "o3", false},
	} {
		if got := c.key.May(c.route, c.model); got != c.want {
			t.Errorf("%v may ask %s for %s: %t", c.key, c.route, c.model, got)
		}
	}
}
