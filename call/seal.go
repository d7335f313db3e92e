package call

// sealTail is how much of a sealed text names it: the end of a signature differs
// from that of every other.
const sealTail = 32

// Seal names something sealed by one account (a thinking signature, encrypted
// reasoning) without keeping it: the last bytes of its text. It is "" for what is
// no string or too short to be sealed.
func Seal(v Value) string {
	if v.Kind() != '"' || len(v) < sealTail+2 {
		return ""
	}
	return "seal:" + string(v[len(v)-1-sealTail:len(v)-1])
}

// Sealed notes that the request carries something only the account that sealed it
// can read.
func (r *Request) Sealed(v Value) {
	if !v.Filled() {
		return
	}
	r.Pinned = true
	if name := Seal(v); name != "" && len(r.Refs) < maxRefs {
		r.Refs = append(r.Refs, name)
	}
}

// Make notes the id of something that the answer left at the provider account,
// to which later requests may refer. At most 64 are kept.
func (s *Stream) Make(id string) {
	if id != "" && len(id) <= maxRef && len(s.Made) < maxRefs {
		s.Made = append(s.Made, id)
	}
}
