package stream

import (
	"bytes"
	"testing"
)

// FuzzAPlainFrameIsWhatItsLinesSay holds that a frame which is read at once is
// the one that its lines make.
func FuzzAPlainFrameIsWhatItsLinesSay(f *testing.F) {
	for _, text := range []string{
		"data: x\n\n", "data:x\n\ndata: y\n\n", "data:  x\n\n", "data:\n\n", "event: e\ndata: x\n\n", "event:\ndata: x\n\n", "event: e\n\n", "event: e\nevent: f\ndata: x\n\n",
		"data: x\ndata: y\n\n", "data\n\n", "data: x\r\n\r\n", "data: x\ry\n\n", "event: a\rb\ndata: x\n\n", "data: x\n\r\n", ": c\n\n", "\n", "", "data: x\n", "data: x", "event: e\ndata: x", "database: x\n\n", "event: e\nid: 1\ndata: x\n\n", "\xef\xbb\xbfdata: x\n\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		n, event, data := plainFrame(text)
		if n == 0 {
			return
		}
		want, wantEvent, wantData, err := NewSSE().lines(text)
		if err != nil || n != want || !bytes.Equal(event, wantEvent) || !bytes.Equal(data, wantData) {
			t.Fatalf("%q: %d %q %q at once, by lines %d %q %q %v", text, n, event, data, want, wantEvent, wantData, err)
		}
	})
}

func TestUsualFramesAreReadAtOnce(t *testing.T) {
	for _, text := range []string{"data: {\"a\":1}\n\n", "event: ping\ndata: {}\n\nevent: more\n", "data:\n\n"} {
		if n, _, _ := plainFrame([]byte(text)); n == 0 {
			t.Errorf("%q was read line by line", text)
		}
	}
	for _, part := range []string{"data: x\n", "data: x", "event: e\n", "event: e\ndata: x\n", "", "\n"} {
		if n, _, _ := plainFrame([]byte(part)); n != 0 {
			t.Errorf("%q is no whole frame, and %d bytes were taken", part, n)
		}
	}
}
