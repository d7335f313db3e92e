package server

import (
	"strings"

	"github.com/holdfast-gateway/holdfast/gateway/config"
)

// untold are the credentials that no caller may see, should a provider send
// them back; nobody may change the slice.
func (s *Server) untold() []string { return s.current.Load().untold }

func untold(file *config.File) []string {
	var all []string
	for _, p := range file.Providers {
		if p.APIKey != "" {
			all = append(all, credential(string(p.APIKey)))
		}
		for _, k := range p.Keys {
			all = append(all, credential(string(k.Key)))
		}
	}
	if file.Admin.Token != "" {
		all = append(all, string(file.Admin.Token))
	}
	return all
}

// credential is a key without what may stand before it: "Bearer ", or the header
// that a tool wants it in.
func credential(key string) string {
	if _, value, ok := strings.Cut(key, ": "); ok {
		return value
	}
	return strings.TrimPrefix(key, "Bearer ")
}
