package providertest

import (
	"encoding/binary"
)

// splitBinary takes an AWS event stream apart: total and header length, a
// checksum, headers, payload, a checksum. The checksums are another test's
// business. What is broken ends the list.
func splitBinary(body []byte) []event {
	var events []event
	for len(body) >= 16 {
		total, headers := int(binary.BigEndian.Uint32(body)), int(binary.BigEndian.Uint32(body[4:]))
		if total < 16 || total > len(body) || headers < 0 || headers > total-16 {
			break
		}
		message := body[:total]
		events = append(events, event{name: eventName(message[12 : 12+headers]), data: message[12+headers : total-4]})
		body = body[total:]
	}
	return events
}

// eventName finds the header that names the event, or the exception.
func eventName(headers []byte) []byte {
	for len(headers) > 0 {
		length := int(headers[0])
		if len(headers) < length+4 || headers[length+1] != 7 { // 7: a string; the vendor sends no other kind
			break
		}
		name := string(headers[1 : length+1])
		size := int(binary.BigEndian.Uint16(headers[length+2:]))
		headers = headers[length+4:]
		if len(headers) < size {
			break
		}
		if name == ":event-type" || name == ":exception-type" {
			return headers[:size]
		}
		headers = headers[size:]
	}
	return nil
}
