package providertest

import (
	"bytes"
	"strings"
)

// event is one server-sent event.
type event struct{ name, data []byte }

// split takes a whole stream apart by the rules of server-sent events: lines end
// in LF, CRLF or CR, an empty line ends an event, lines of data are joined, and
// what begins with a colon is a comment. It is written apart from the stream
// package, so that a mistake there does not hide one here.
func split(body []byte) []event {
	text := strings.ReplaceAll(string(body), "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	var events []event
	for _, block := range strings.Split(text, "\n\n") {
		var e event
		var data [][]byte
		for _, line := range strings.Split(block, "\n") {
			field, value, _ := strings.Cut(line, ":")
			value = strings.TrimPrefix(value, " ")
			switch field {
			case "event":
				e.name = []byte(value)
			case "data":
				data = append(data, []byte(value))
			}
		}
		if e.data = bytes.Join(data, []byte("\n")); len(data) > 0 {
			events = append(events, e)
		}
	}
	return events
}
