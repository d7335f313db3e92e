package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

// chatInAForm asks for structured output and reads it.
func chatInAForm(ctx context.Context, c openai.Client) (any, error) {
	p := chatParams(chatModel, question)
	form := shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "weather", Schema: weatherSchema, Strict: openai.Bool(true)}
	p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{JSONSchema: form}
	answer, err := c.Chat.Completions.New(ctx, p)
	if err != nil {
		return nil, err
	}
	return answer, readForm(answer.Choices[0].Message.Content)
}

func responseInAForm(ctx context.Context, c openai.Client) (any, error) {
	p := responseParams(chatModel, question)
	p.Text.Format.OfJSONSchema = &responses.ResponseFormatTextJSONSchemaConfigParam{Name: "weather", Schema: weatherSchema}
	events, err := gather(c.Responses.NewStreaming(ctx, p))
	if err != nil || len(events) == 0 {
		return nil, err
	}
	return events, readForm(events[len(events)-1].Response.OutputText())
}

func messageInAForm(ctx context.Context, c anthropic.Client) (any, error) {
	p := messageParams(messageModel, question)
	p.OutputConfig.Format = anthropic.JSONOutputFormatParam{Schema: weatherSchema}
	answer, err := c.Messages.New(ctx, p)
	if err != nil {
		return nil, err
	}
	return answer, readForm(answer.Content[0].Text)
}

// readForm reads an answer in the form of weatherSchema.
func readForm(text string) error {
	var form struct{ City string }
	if err := json.Unmarshal([]byte(text), &form); err != nil || form.City == "" {
		return fmt.Errorf("%q is not in the form: %w", text, err)
	}
	return nil
}

// aFile is what is known of a file, without its id and time, which are the
// provider's whim.
type aFile struct {
	Name  string
	Bytes int64
}

const story = "naïve café in 東京"

// openaiFile uploads a file and asks for it again.
func openaiFile(ctx context.Context, c openai.Client) (any, error) {
	file := openai.File(strings.NewReader(story), "story.txt", "text/plain")
	made, err := c.Files.New(ctx, openai.FileNewParams{File: file, Purpose: openai.FilePurposeAssistants})
	if err != nil {
		return nil, err
	}
	found, err := c.Files.Get(ctx, made.ID)
	if err != nil {
		return nil, err
	}
	return aFile{found.Filename, found.Bytes}, sameFile(made.ID, found.ID, found.Bytes)
}

func anthropicFile(ctx context.Context, c anthropic.Client) (any, error) {
	file := anthropic.File(strings.NewReader(story), "story.txt", "text/plain")
	made, err := c.Beta.Files.Upload(ctx, anthropic.BetaFileUploadParams{File: file})
	if err != nil {
		return nil, err
	}
	found, err := c.Beta.Files.GetMetadata(ctx, made.ID, anthropic.BetaFileGetMetadataParams{})
	if err != nil {
		return nil, err
	}
	return aFile{found.Filename, found.SizeBytes}, sameFile(made.ID, found.ID, found.SizeBytes)
}

func sameFile(made, found string, size int64) error {
	if made != found || size != int64(len(story)) {
		return fmt.Errorf("the file %s came back as %s with %d bytes", made, found, size)
	}
	return nil
}
