package chat

import "github.com/holdfast-gateway/holdfast/call"

// glance reads an event that has nothing to say but its piece of the answer, or
// not even that: nearly every event of a stream. It reads it once and not, as
// look must, once for each level. ok is false when the event needs look; then s
// is as it was.
func glance(event, data []byte, s *call.Stream) (kind call.FrameKind, ok bool) {
	p := call.PassOf(data)
	if string(event) == "error" || !p.Enter('{') {
		return 0, false
	}
	content := false
	for key := p.Key(); key != nil; key = p.Key() {
		var news bool
		switch string(key) {
		case "id":
			news = p.Value().Filled() && s.ID == ""
		case "model":
			news = p.Value().Filled() && s.Model == ""
		case "choices":
			news = glanceChoices(&p, &content)
		case "usage":
			news = p.Value().Kind() != 'n'
		case "error":
			news = p.Value().Filled()
		case "object":
			news = p.Value().Is("error")
		default:
			p.Value()
		}
		if news {
			return 0, false
		}
	}
	if !p.Done() {
		return 0, false
	}
	s.Started = true
	if !content {
		return call.FrameQuiet, true
	}
	s.Content = true
	return call.FrameContent, true
}

// glanceChoices reads all choices. news is true when one ended or was refused.
func glanceChoices(p *call.Pass, content *bool) (news bool) {
	if !p.Enter('[') {
		p.Value()
		return false
	}
	for p.Element() {
		if !p.Enter('{') {
			p.Value()
			continue
		}
		for key := p.Key(); key != nil; key = p.Key() {
			switch string(key) {
			case "delta", "message":
				news = glanceDelta(p, content)
			case "text":
				*content = p.Value().Filled() || *content
			case "finish_reason":
				v := p.Value()
				news = v.Kind() == '"' && v.Filled()
			default:
				p.Value()
			}
			if news {
				return true
			}
		}
	}
	return false
}

func glanceDelta(p *call.Pass, content *bool) (refused bool) {
	if !p.Enter('{') {
		p.Value()
		return false
	}
	for key := p.Key(); key != nil; key = p.Key() {
		switch string(key) {
		case "refusal":
			if p.Value().Filled() {
				return true
			}
		case "content", "reasoning_content", "reasoning", "reasoning_details", "tool_calls", "function_call", "audio":
			*content = p.Value().Filled() || *content
		default:
			p.Value()
		}
	}
	return false
}
