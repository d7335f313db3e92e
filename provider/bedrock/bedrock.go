// Package bedrock is what is known of Amazon Bedrock's runtime: its exceptions,
// which stand in a header, and how its answers end. Nobody speaks its dialect
// here yet, so that no request is sent to it.
package bedrock

import (
	"net/http"
	"strings"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
)

// New returns what is known of Bedrock.
func New() *provider.Vendor {
	return &provider.Vendor{
		Name:       "bedrock",
		GenAI:      "aws.bedrock",
		Table:      table,
		Endpoint:   func(string, string) provider.Endpoint { return provider.Endpoint{} },
		Classify:   classify,
		Sign:       sign,
		Reasoning:  func(string) bool { return false },
		Answers:    &answers,
		RequestID:  "X-Amzn-Requestid",
		Credential: []string{"Authorization"},
	}
}

var answers = provider.Answers{
	Content: []string{"delta.text", "delta.toolUse", "delta.reasoningContent", "output.message.content"},
	Finish:  []string{"stopReason"},
	Errors:  []string{"Exception"},
	Input:   []string{"usage.inputTokens"},
	Output:  []string{"usage.outputTokens"},
}

// sign sets a Bedrock API key. Signatures over the request come with its dialect.
func sign(h http.Header, key call.Secret) {
	provider.StripCredentials(h)
	h.Set("Authorization", "Bearer "+string(key))
}

var byTable = table.Classifier()

// classify reads the exception's name from its header:
// "ThrottlingException:http://internal.amazon.com/...".
func classify(e provider.Evidence) call.Verdict {
	e.Type, _, _ = strings.Cut(e.Header.Get("X-Amzn-Errortype"), ":")
	return byTable(e)
}
