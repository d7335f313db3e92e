package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/cache"
	"github.com/holdfast-gateway/holdfast/call"
)

// Setting is one effective setting and where it comes from.
type Setting struct {
	Path   string `json:"path"`   // routes.chat.timeout.total
	Value  string `json:"value"`  // as one would write it; secrets are ***
	Origin string `json:"origin"` // default, profile NAME, FILE:LINE, env NAME
}

// hidden stands for a secret.
const hidden = "***"

// Effective lists the settings in force: those of the file, and for every route
// and target those that come from the profile or are defaults. In the order of
// the file's reference.
func (f *File) Effective() ([]Setting, error) {
	c, err := f.Holdfast()
	if err != nil {
		return nil, err
	}
	if c, err = c.Effective(); err != nil {
		return nil, err
	}
	s := &shower{File: f}
	s.defaults()
	s.written(reflect.ValueOf(*f), nil)
	s.profileLimits()
	for i, r := range c.Routes {
		s.route(f.Routes[i], r)
	}
	return s.list, nil
}

type shower struct {
	*File
	list []Setting
}

// defaults adds what every gateway has, when the file does not say it.
func (s *shower) defaults() {
	for _, d := range []struct{ path, value string }{
		{"listen", s.MainListen()}, {"admin.listen", s.AdminListen()}, {"logs.level", "info"}, {"logs.format", "auto"}, {"logs.limit", "100"},
		{"telemetry.metrics", "true"}, {"telemetry.genai_semconv", "v1.41"}, {"telemetry.traces.ratio", "1"}, {"telemetry.traces.propagate", "false"},
		{"profile", "standard"}, {"upstream.http", "lean"}, {"max_body", "32MiB"}, {"max_answer", "8MiB"}, {"write_stall", "1m0s"},
	} {
		if s.origin(strings.Split(d.path, ".")) == "" {
			s.add(d.path, d.value, "default")
		}
	}
}

func (s *shower) add(path, value, origin string) {
	s.list = append(s.list, Setting{path, value, origin})
}

// origin says where in the file a setting stands, "" if it is not there.
func (s *shower) origin(path []string) string {
	at := placeOf(path...)
	position := s.places.values[at]
	if position == nil {
		return ""
	}
	where := fmt.Sprintf("%s:%d", s.path, position.Line)
	if text, ok := s.places.references[at]; ok {
		var names []string
		for _, part := range strings.Split(text, "${")[1:] {
			name, _, _ := strings.Cut(part, "}")
			name, _, _ = strings.Cut(name, ":-")
			names = append(names, "${"+name+"}")
		}
		where += " from " + strings.Join(names, " ")
	}
	return where
}

// written adds what stands in the file, except the settings of policies, which
// are told where they are in force.
func (s *shower) written(v reflect.Value, path []string) {
	for _, f := range fieldsOf(v.Type()).list {
		at, field := append(slices.Clone(path), f.name), v.Field(f.index)
		switch {
		case f.option == "policy" && f.name != "health" && f.name != "traces":
		case f.option == "mapping":
			for i := range field.Len() {
				one := field.Index(i)
				s.written(one, append(slices.Clone(at), one.Field(fieldsOf(one.Type()).key).String()))
			}
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct:
			for i := range field.Len() {
				s.element(field.Index(i), append(slices.Clone(at), strconv.Itoa(i)))
			}
		case field.Kind() == reflect.Struct && !isWord(field.Type()):
			s.written(field, at)
		default:
			s.value(field, at)
		}
	}
}

// element adds an element of a list: a word that stands for a mapping by itself.
func (s *shower) element(v reflect.Value, at []string) {
	if t, ok := v.Interface().(Target); ok && s.places.values[placeOf(append(slices.Clone(at), "target")...)] == nil {
		s.add(strings.Join(at, "."), t.Target, s.origin(at))
		return
	}
	s.written(v, at)
}

func (s *shower) value(v reflect.Value, at []string) {
	origin := s.origin(at)
	if list, ok := v.Interface().([]string); ok && len(list) > 0 {
		s.add(strings.Join(at, "."), strings.Join(list, ", "), s.origin(append(slices.Clone(at), "0")))
		return
	}
	if origin != "" {
		s.add(strings.Join(at, "."), wordOf(v, origin), origin)
	}
}

// route adds the policies in force for a route and its targets.
func (s *shower) route(file Route, r holdfast.Route) {
	base := []string{"routes", r.Name}
	for _, p := range []struct {
		name  string
		value any
	}{{"timeout", r.Timeout}, {"retry", r.Retry}, {"queue", r.Queue}, {"cache", r.Cache}} {
		if c, ok := p.value.(cache.Config); ok && !c.Keeps() && !c.Shares() {
			continue
		}
		s.policy(p.name, p.value, append(slices.Clone(base), p.name), []string{p.name})
	}
	for i, t := range r.Targets {
		at := append(slices.Clone(base), "targets", strconv.Itoa(i))
		s.policy("breaker", t.Breaker, append(slices.Clone(at), "breaker"), append(slices.Clone(base), "breaker"), []string{"breaker"})
		s.policy("concurrency", t.Concurrency, append(slices.Clone(at), "concurrency"), []string{"providers", t.Provider, "concurrency"}, []string{"concurrency"})
		if t.Quota.Limits() {
			s.policy("quota", t.Quota, append(slices.Clone(at), "quota"), []string{"providers", t.Provider, "quota"})
		}
	}
}

// policy adds a policy's settings. places are where the file may hold them, the
// nearest first.
func (s *shower) policy(name string, value any, at []string, places ...[]string) {
	set := reflect.ValueOf(value)
	whole, fallback := withDefaults(set), withDefaults(reflect.Zero(set.Type()))
	for _, f := range fieldsOf(set.Type()).list {
		v := whole.Field(f.index)
		if v.IsZero() {
			continue // no default and not set
		}
		origin := ""
		for _, place := range append([][]string{at}, places...) {
			if origin = s.origin(append(slices.Clone(place), f.name)); origin != "" {
				break
			}
		}
		if origin == "" {
			origin = s.unwritten(name, v.Equal(fallback.Field(f.index)))
		}
		s.add(strings.Join(append(slices.Clone(at), f.name), "."), wordOf(v, ""), origin)
	}
}

func withDefaults(v reflect.Value) reflect.Value {
	if m := v.MethodByName("WithDefaults"); m.IsValid() {
		return m.Call(nil)[0]
	}
	return v
}

// unwritten says where a setting comes from that is not in the file.
func (s *shower) unwritten(policy string, isDefault bool) string {
	if isDefault {
		return "default"
	}
	if policy == "concurrency" && s.Profile == "interactive" {
		if name, _, _ := systemEnvironment().concurrencyVariable(); name != "" {
			return "env " + name
		}
	}
	return "profile " + orText(s.Profile, "standard")
}

// wordOf writes a value as the file would hold it.
func wordOf(v reflect.Value, origin string) string {
	switch x := v.Interface().(type) {
	case call.Secret:
		return hidden
	case time.Duration:
		if x < 0 {
			return "off"
		}
		return x.String()
	case Digest:
		return x.String()
	case Moment:
		return x.UTC().Format(time.RFC3339)
	case Rate:
		return x.String()
	}
	if v.CanInt() && v.Int() < 0 && origin == "" || v.CanFloat() && v.Float() < 0 {
		return "off"
	}
	return fmt.Sprint(v.Interface())
}
