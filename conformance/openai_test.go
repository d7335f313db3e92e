package conformance

import (
	"context"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

func openaiClient(w way, more ...option.RequestOption) openai.Client {
	return openai.NewClient(append([]option.RequestOption{
		option.WithBaseURL(w.base + "/v1"), option.WithHTTPClient(w.client), option.WithAPIKey(callersKey),
	}, more...)...)
}

const (
	chatModel  = "gpt-sim"
	embedModel = "text-embedding-sim"
	question   = "Tell me a story of a naïve café in 東京."
)

func chatParams(model, text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)}, MaxTokens: openai.Int(60),
	}
}

func responseParams(model, text string) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model: model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(text)}, MaxOutputTokens: openai.Int(60),
	}
}

var weatherSchema = map[string]any{
	"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"},
}

// gather reads a stream to its end.
func gather[T any](s *ssestream.Stream[T]) ([]T, error) {
	defer s.Close()
	var all []T
	for s.Next() {
		all = append(all, s.Current())
	}
	return all, s.Err()
}

// openaiCases are things that users of openai-go do. Each returns what the
// program sees.
var openaiCases = []asking[openai.Client]{
	{"a chat completion", func(ctx context.Context, c openai.Client) (any, error) {
		return c.Chat.Completions.New(ctx, chatParams(chatModel, question))
	}},
	{"a chat completion as a stream", func(ctx context.Context, c openai.Client) (any, error) {
		p := chatParams(chatModel, question)
		p.StreamOptions.IncludeUsage = openai.Bool(true)
		return gather(c.Chat.Completions.NewStreaming(ctx, p))
	}},
	{"a chat completion with a tool", chatWithTool},
	{"a chat completion with a tool as a stream", func(ctx context.Context, c openai.Client) (any, error) {
		return gather(c.Chat.Completions.NewStreaming(ctx, chatToolParams()))
	}},
	{"a chat refusal", func(ctx context.Context, c openai.Client) (any, error) {
		return c.Chat.Completions.New(ctx, chatParams("sim/refusal", question))
	}},
	{"a response", func(ctx context.Context, c openai.Client) (any, error) {
		return c.Responses.New(ctx, responseParams(chatModel, question))
	}},
	{"a response as a stream", func(ctx context.Context, c openai.Client) (any, error) {
		return gather(c.Responses.NewStreaming(ctx, responseParams(chatModel, question)))
	}},
	{"a response with a tool as a stream", func(ctx context.Context, c openai.Client) (any, error) {
		p := responseParams(chatModel, "Use the tool.")
		p.Tools = []responses.ToolUnionParam{{OfFunction: &responses.FunctionToolParam{Name: "weather", Parameters: weatherSchema}}}
		return gather(c.Responses.NewStreaming(ctx, p))
	}},
	{"a response that goes on from another", responseThatGoesOn},
	{"a chat completion in a form", chatInAForm},
	{"a response in a form as a stream", responseInAForm},
	{"a file there and back", openaiFile},
	{"an embedding", func(ctx context.Context, c openai.Client) (any, error) {
		return c.Embeddings.New(ctx, openai.EmbeddingNewParams{
			Model: embedModel, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{question, "another"}},
		})
	}},
}

func chatToolParams() openai.ChatCompletionNewParams {
	p := chatParams(chatModel, "Use the tool.")
	p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "weather", Parameters: weatherSchema})}
	return p
}

// chatWithTool asks, answers the tool call, and asks again.
func chatWithTool(ctx context.Context, c openai.Client) (any, error) {
	p := chatToolParams()
	first, err := c.Chat.Completions.New(ctx, p)
	if err != nil {
		return nil, err
	}
	message := first.Choices[0].Message
	p.Messages = append(p.Messages, message.ToParam(), openai.ToolMessage("sunny", message.ToolCalls[0].ID))
	second, err := c.Chat.Completions.New(ctx, p)
	return []any{first, second}, err
}

// responseThatGoesOn makes a response, fetches it and refers to it.
func responseThatGoesOn(ctx context.Context, c openai.Client) (any, error) {
	p := responseParams(chatModel, question)
	p.Store = openai.Bool(true)
	first, err := c.Responses.New(ctx, p)
	if err != nil {
		return nil, err
	}
	again, err := c.Responses.Get(ctx, first.ID, responses.ResponseGetParams{})
	if err != nil {
		return nil, err
	}
	p = responseParams(chatModel, "And then?")
	p.PreviousResponseID = openai.String(first.ID)
	second, err := c.Responses.New(ctx, p)
	return []any{first, again, second}, err
}

func TestOpenAIsSDKSeesTheSameEveryWay(t *testing.T) {
	sameEveryWay(t, openaiCases, func(w way) openai.Client { return openaiClient(w) })
}

func TestOpenAIsSDKListsModels(t *testing.T) {
	listsModels(t, func(w way) (names []string, err error) {
		client := openaiClient(w)
		page, err := client.Models.List(t.Context())
		if err != nil {
			return nil, err
		}
		for _, m := range page.Data {
			names = append(names, m.ID)
		}
		if one, err := client.Models.Get(t.Context(), chatModel); err != nil || one.ID != chatModel {
			t.Errorf("through %s: one model: %v, %v", w.name, one, err)
		}
		return names, nil
	})
}
