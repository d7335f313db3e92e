package sim_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/holdfast-gateway/holdfast/sim"
)

func Example() {
	p := sim.New(sim.Config{})
	s := httptest.NewServer(p)
	defer s.Close()

	ask := func(model string) {
		resp, err := http.Post(s.URL+"/v1/messages", "application/json", strings.NewReader(
			`{"model":"`+model+`","max_tokens":3,"messages":[{"role":"user","content":"Hello?"}]}`))
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
		fmt.Println(model, resp.StatusCode)
	}
	ask("claude")
	ask("sim/529") // the model name picks the fault

	p.SetDials(sim.Dials{Fault: "503"}) // the provider is down for everybody
	ask("claude")

	for _, a := range p.Log() {
		fmt.Println(a.Seq, a.Fault, a.Status)
	}
	// Output:
	// claude 200
	// sim/529 529
	// claude 503
	// 1 ok 200
	// 2 529 529
	// 3 503 503
}
