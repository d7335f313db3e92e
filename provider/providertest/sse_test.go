package providertest

import (
	"fmt"
	"testing"
)

func TestAStreamIsTakenApartByTheRules(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"one event", "event: a\ndata: 1\n\n", "[a=1]"},
		{"without a blank", "data:1\n\n", "[=1]"},
		{"two blanks", "data:  1\n\n", "[= 1]"},
		{"carriage returns", "event: a\r\ndata: 1\r\n\r\ndata: 2\r\r", "[a=1 =2]"},
		{"joined data", "data: 1\ndata: 2\n\n", "[=1\n2]"},
		{"a comment", ": wait\n\ndata: 1\n\n", "[=1]"},
		{"a name without data", "event: a\n\ndata: 1\n\n", "[=1]"},
		{"colons in data", "data: {\"a\":1}\n\n", "[={\"a\":1}]"},
		{"nothing", "", "[]"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, e := range split([]byte(c.text)) {
				got = append(got, string(e.name)+"="+string(e.data))
			}
			if fmt.Sprint(got) != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
