package demo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxLine is the longest line of a stream that is read, in bytes; maxWhole the
// longest answer that is not streamed.
const maxLine, maxWhole = 1 << 20, 4 << 20

// judge reads an answer to its end and says what is wrong with it: a status that
// is not 2xx, a body that breaks, an error inside, an end without the dialect's
// terminator. Shared code could hide a mistake of the gateway, so it is written
// from the vendor's side and shares none.
func judge(dialect string, streamed bool, resp *http.Response) error {
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxWhole)) // the status is enough
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	if streamed {
		return judgeStream(dialect, resp.Body)
	}
	return judgeWhole(dialect, resp.Body)
}

// frame is what both dialects put into an event or a whole answer, as far as it
// tells good from bad.
type frame struct {
	Type   string          `json:"type"`
	Object string          `json:"object"`
	Status string          `json:"status"`
	Error  json.RawMessage `json:"error"`
}

func (f frame) failed() bool {
	return f.Type == "error" || f.Type == "response.failed" || len(f.Error) > 0 && string(f.Error) != "null"
}

var (
	errNoEnd = errors.New("stream without its end")
	errEvent = errors.New("error event in the stream")
)

func judgeStream(dialect string, body io.Reader) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	ended := false
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !ok {
			continue
		}
		data = bytes.TrimSpace(data)
		if string(data) == "[DONE]" {
			ended = dialect == chat
			continue
		}
		var f frame
		if err := json.Unmarshal(data, &f); err != nil {
			return errors.New("event that is no JSON")
		}
		if f.failed() {
			return errEvent
		}
		ended = ended || dialect == responses && f.Type == "response.completed"
	}
	if lines.Err() != nil {
		return errors.New("connection lost in the stream")
	}
	if !ended {
		return errNoEnd
	}
	return nil
}

func judgeWhole(dialect string, body io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(body, maxWhole))
	if err != nil {
		return errors.New("connection lost in the answer")
	}
	var f frame
	if err := json.Unmarshal(text, &f); err != nil {
		return errors.New("answer that is no JSON")
	}
	complete := dialect == chat && f.Object == "chat.completion" || dialect == responses && f.Status == "completed"
	if f.failed() || !complete {
		return errors.New("answer that is no answer")
	}
	return nil
}
