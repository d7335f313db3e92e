package server

// untold are the credentials that no caller may see, should a provider send
// them back.
func (s *Server) untold() []string {
	file := s.current.Load().file
	var all []string
	for _, p := range file.Providers {
		if p.APIKey != "" {
			all = append(all, string(p.APIKey))
		}
		for _, k := range p.Keys {
			all = append(all, string(k.Key))
		}
	}
	if file.Admin.Token != "" {
		all = append(all, string(file.Admin.Token))
	}
	return all
}
