package conformance

import (
	"context"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/anthropics/anthropic-sdk-go/packages/ssestream"
)

const messageModel = "claude-sim"

func anthropicClient(w way, more ...option.RequestOption) anthropic.Client {
	return anthropic.NewClient(append([]option.RequestOption{
		option.WithoutEnvironmentDefaults(), option.WithBaseURL(w.base), option.WithHTTPClient(w.client), option.WithAPIKey(callersKey),
	}, more...)...)
}

func messageParams(model, text string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model: anthropic.Model(model), MaxTokens: 60,
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))},
	}
}

func messageToolParams() anthropic.MessageNewParams {
	p := messageParams(messageModel, "Use the tool.")
	p.Tools = []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{
		Name: "weather", InputSchema: anthropic.ToolInputSchemaParam{Properties: weatherSchema["properties"], Required: []string{"city"}},
	}}}
	return p
}

// gatherMessages reads a stream to its end.
func gatherMessages(s *ssestream.Stream[anthropic.MessageStreamEventUnion]) ([]anthropic.MessageStreamEventUnion, error) {
	defer s.Close()
	var all []anthropic.MessageStreamEventUnion
	for s.Next() {
		all = append(all, s.Current())
	}
	return all, s.Err()
}

// anthropicCases are things that users of anthropic-sdk-go do.
var anthropicCases = []asking[anthropic.Client]{
	{"a message", func(ctx context.Context, c anthropic.Client) (any, error) {
		return c.Messages.New(ctx, messageParams(messageModel, question))
	}},
	{"a message as a stream", func(ctx context.Context, c anthropic.Client) (any, error) {
		return gatherMessages(c.Messages.NewStreaming(ctx, messageParams(messageModel, question)))
	}},
	{"a message with a tool", messageWithTool},
	{"a message with a tool as a stream", func(ctx context.Context, c anthropic.Client) (any, error) {
		return gatherMessages(c.Messages.NewStreaming(ctx, messageToolParams()))
	}},
	{"a refusal as a stream", func(ctx context.Context, c anthropic.Client) (any, error) {
		return gatherMessages(c.Messages.NewStreaming(ctx, messageParams("sim/refusal", question)))
	}},
	{"a message in a form", messageInAForm},
	{"a file there and back", anthropicFile},
	{"a count of tokens", func(ctx context.Context, c anthropic.Client) (any, error) {
		p := messageParams(messageModel, question)
		return c.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{Model: p.Model, Messages: p.Messages})
	}},
}

// messageWithTool asks, answers the tool call, and asks again.
func messageWithTool(ctx context.Context, c anthropic.Client) (any, error) {
	p := messageToolParams()
	first, err := c.Messages.New(ctx, p)
	if err != nil {
		return nil, err
	}
	result := anthropic.NewToolResultBlock(first.Content[len(first.Content)-1].ID, "sunny", false)
	p.Messages = append(p.Messages, first.ToParam(), anthropic.NewUserMessage(result))
	second, err := c.Messages.New(ctx, p)
	return []any{first, second}, err
}

func TestAnthropicsSDKSeesTheSameEveryWay(t *testing.T) {
	sameEveryWay(t, anthropicCases, func(w way) anthropic.Client { return anthropicClient(w) })
}

func TestAnthropicsSDKListsModels(t *testing.T) {
	listsModels(t, func(w way) (names []string, err error) {
		client := anthropicClient(w)
		page, err := client.Models.List(t.Context(), anthropic.ModelListParams{})
		if err != nil {
			return nil, err
		}
		for _, m := range page.Data {
			names = append(names, m.ID)
		}
		return names, nil
	})
}
