package stream

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/internal/wanted"
)

// cut feeds a Framing piece by piece, as an Attempt does, and returns what it
// found: "event|data" per frame, and the bytes that were in frames.
func cut(f Framing, input []byte, size func() int) (frames []string, framed []byte, err error) {
	var buf []byte
	for len(input) > 0 {
		n := min(max(1, size()), len(input))
		buf = append(buf, input[:n]...)
		input = input[n:]
		for {
			n, event, data, err := f.Next(buf)
			if err != nil {
				return frames, framed, err
			}
			if n == 0 {
				break
			}
			frames = append(frames, string(event)+"|"+string(data))
			framed = append(framed, buf[:n]...)
			buf = append([]byte(nil), buf[n:]...) // moves, as an Attempt's buffer does
		}
	}
	if len(buf) > 0 {
		if event, data, ok := f.Rest(buf); ok && len(data) > 0 {
			frames = append(frames, string(event)+"|"+string(data))
		}
	}
	return frames, framed, nil
}

func TestSSEReadsFieldsAndEveryLineEnd(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"LF":                    {"event: a\ndata: 1\n\ndata: 2\n\n", []string{"a|1", "|2"}},
		"CRLF":                  {"event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", []string{"a|1", "|2"}},
		"CR":                    {"data: 1\r\rdata: 2\r\r\n", []string{"|1", "|2"}},
		"mixed":                 {"event: a\rdata: 1\r\n\ndata: 2\n\r\n", []string{"a|1", "|2"}},
		"two data lines":        {"data: 1\ndata: 2\ndata\n\n", []string{"|1\n2\n"}},
		"no space, more spaces": {"data:1\n\ndata:  2\n\n", []string{"|1", "| 2"}},
		"comments and ids":      {": hi\n\nid: 7\nretry: 10\ndata: 1\n\n", []string{"|", "|1"}},
		"byte order mark":       {"\xef\xbb\xbfdata: 1\n\n", []string{"|1"}},
		"no last blank line":    {"data: 1\n\ndata: 2\n", []string{"|1", "|2"}},
		"no last line end":      {"data: 1\n\ndata: 2", []string{"|1", "|2"}},
		"names that begin so":   {"datax: 1\nevents: 2\n\n", []string{"|"}},
		"empty data":            {"data:\n\ndata\n\n", []string{"|", "|"}},
	} {
		for _, size := range []int{1, 2, 7, 1 << 20} {
			frames, _, err := cut(NewSSE(), []byte(c.in), func() int { return size })
			if err != nil || strings.Join(frames, ";") != strings.Join(c.want, ";") {
				t.Errorf("%s in pieces of %d: got %q, %v; want %q", name, size, frames, err, c.want)
			}
		}
	}
}

// FuzzSSE: however the bytes are cut, the frames are the same and no byte is
// lost or added.
func FuzzSSE(f *testing.F) {
	for _, s := range []string{"data: 1\n\n", "event: a\r\ndata: {\"x\":1}\r\n\r\n: c\n\ndata: [DONE]\n\n", "\r\r\n\n\r", "data: é\ndata: ü\r\r", "\xef\xbb\xbfdata: x\n\n"} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, input []byte, seed uint64) {
		whole, framed, err := cut(NewSSE(), input, func() int { return len(input) })
		if err != nil || !bytes.HasPrefix(input, framed) {
			t.Fatalf("frames hold %q of %q, %v", framed, input, err)
		}
		rnd := rand.New(rand.NewPCG(seed, 1))
		pieces, _, _ := cut(NewSSE(), input, func() int { return rnd.IntN(4) + 1 })
		// A CR at the end of a piece may make its LF an empty frame of its own.
		drop := func(frames []string) string {
			var kept []string
			for _, s := range frames {
				if s != "|" {
					kept = append(kept, s)
				}
			}
			return strings.Join(kept, ";")
		}
		if drop(whole) != drop(pieces) {
			t.Fatalf("%q: whole %q, in pieces %q", input, whole, pieces)
		}
	})
}

func TestSSESkipFindsTheEndOfAFrameItDidNotRead(t *testing.T) {
	for _, end := range []string{"\n\n", "\r\n\r\n", "\r\r"} {
		for size := 1; size < 9; size++ {
			f := NewSSE()
			in := []byte("data: " + strings.Repeat("x", 20) + end + "data: next\n\n")
			passed := 0
			for passed < len(in) {
				piece := in[passed:min(passed+size, len(in))]
				n := f.Skip(piece)
				if n >= 0 {
					passed += n
					break
				}
				passed += len(piece)
			}
			rest := bytes.TrimLeft(in[passed:], "\n")
			if string(rest) != "data: next\n\n" {
				t.Errorf("end %q in pieces of %d: %q is left", end, size, in[passed:])
			}
		}
	}
}

func TestNDJSONTakesLines(t *testing.T) {
	frames, _, err := cut(NewNDJSON(), []byte("{\"a\":1}\n\n{\"b\":2}\r\n{\"c\":3}"), func() int { return 3 })
	if want := `|{"a":1};|;|{"b":2};|{"c":3}`; err != nil || strings.Join(frames, ";") != want {
		t.Errorf("got %q, %v; want %q", frames, err, want)
	}
}

// message builds one message of the binary event stream.
func message(event string, payload []byte) []byte {
	var headers []byte
	add := func(name, value string) {
		headers = append(headers, byte(len(name)))
		headers = append(headers, name...)
		headers = append(headers, 7)
		headers = binary.BigEndian.AppendUint16(headers, uint16(len(value)))
		headers = append(headers, value...)
	}
	add(":message-type", "event")
	add(":event-type", event)
	var m []byte
	m = binary.BigEndian.AppendUint32(m, uint32(16+len(headers)+len(payload)))
	m = binary.BigEndian.AppendUint32(m, uint32(len(headers)))
	m = binary.BigEndian.AppendUint32(m, crc32.ChecksumIEEE(m))
	m = append(append(m, headers...), payload...)
	return binary.BigEndian.AppendUint32(m, crc32.ChecksumIEEE(m))
}

func TestEventStreamReadsMessagesAndRefusesCorruptOnes(t *testing.T) {
	in := append(message("contentBlockDelta", []byte(`{"x":1}`)), message("messageStop", nil)...)
	for _, size := range []int{1, 5, 1000} {
		frames, framed, err := cut(NewEventStream(), in, func() int { return size })
		if err != nil || strings.Join(frames, ";") != `contentBlockDelta|{"x":1};messageStop|` || !bytes.Equal(framed, in) {
			t.Errorf("pieces of %d: %q, %v", size, frames, err)
		}
	}
	for at := range in[:20] {
		bad := bytes.Clone(in)
		bad[at] ^= 0x40
		if _, _, err := cut(NewEventStream(), bad, func() int { return 1000 }); !errors.Is(err, ErrFrame) {
			t.Errorf("byte %d flipped: %v, want ErrFrame", at, err)
		}
	}
}

func TestEventStreamReadsARecordedAnswer(t *testing.T) {
	in, err := os.ReadFile(filepath.Join(wanted.Recordings(t), "bedrock", "stream", "converse-eventstream-binary.body.eventstream.bin"))
	if err != nil {
		t.Fatal(err)
	}
	frames, framed, err := cut(NewEventStream(), in, func() int { return 7 })
	if err != nil || len(framed) != len(in) || len(frames) < 3 || !strings.HasPrefix(frames[0], "messageStart|") {
		t.Errorf("%d frames, %d of %d bytes, %v: %.200q", len(frames), len(framed), len(in), err, frames)
	}
}

func FuzzEventStream(f *testing.F) {
	f.Add(message("a", []byte("b")))
	f.Fuzz(func(t *testing.T, in []byte) {
		_, framed, _ := cut(NewEventStream(), in, func() int { return 13 })
		if !bytes.HasPrefix(in, framed) {
			t.Fatal("frames hold other bytes than the input")
		}
	})
}

// FuzzWhole: what encoding/json takes as one object or array is complete at its
// last byte, however it is cut.
func FuzzWhole(f *testing.F) {
	for _, s := range []string{`{}`, ` {"a":"}\"{"} `, `[1,[2]]`, "\n\n{\"a\":1}", `<html>`, `{"a":1} x`} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		frames, _, err := cut(NewWhole(1<<20), in, func() int { return size % 50 })
		trimmed := bytes.TrimSpace(in)
		if json.Valid(in) && len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') {
			if err != nil || len(frames) != 1 || !bytes.HasSuffix(bytes.TrimSpace([]byte(frames[0][1:])), trimmed) {
				t.Fatalf("%q: frames %q, %v", in, frames, err)
			}
		}
	})
}

func BenchmarkSSEFrame(b *testing.B) {
	event := []byte("data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n")
	b.ReportAllocs()
	f := NewSSE()
	for b.Loop() {
		if n, _, _, _ := f.Next(event); n != len(event) {
			b.Fatal(n)
		}
	}
}

func ExampleNewSSE() {
	f := NewSSE()
	n, event, data, _ := f.Next([]byte("event: ping\ndata: {}\n\n"))
	fmt.Println(n, string(event), string(data))
	// Output: 22 ping {}
}
