package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

// vocabulary is what answers are made of.
var vocabulary = strings.Fields(`
	anchor answer apple april autumn balance basket beacon bridge bright button candle canvas carbon
	castle cedar chapter circle clever cloud cobalt compass copper coral cotton crystal curtain dancer
	daylight delta desert distant dolphin dragon eager early echo eleven ember engine evening fabric
	falcon feather fiddle flower forest fountain galaxy garden gentle ginger glacier golden granite
	harbor hazel helmet hollow honey horizon island ivory jacket jasmine journey jungle kettle kitchen
	ladder lantern lemon letter linen lively lunar maple marble meadow mellow meteor mirror morning
	mountain narrow needle nickel night northern ocean olive orange orchard oxygen paper pebble pepper
	pillow planet pocket prairie purple quartz quiet rabbit raven ribbon river rocket saddle saffron
	scarlet shadow shelter signal silver simple spring station steady summer sunset table temple
	thunder timber topaz travel tulip umbrella uncommon valley velvet village violet walnut water
	willow winter wonder yellow zephyr`)

// foreign holds characters of two, three and four bytes, so that every answer of some
// length can be cut inside a character. Every fifth word is one of these.
var foreign = strings.Fields(`
	naïve café Größe jalapeño Ærø žluťoučký Ελλάδα мост 東京 こんにちは 한국어 北極星 🌊 🚲 👩‍🔬`)

// voiceOf makes the source of one answer's words: the same for the same seed, model,
// conversation and salt. All sim/ models share their words, so that a broken answer and
// the sound one of the same prompt begin alike.
func voiceOf(seed uint64, model string, prompt [sha256.Size]byte, salt string) *rand.Rand {
	if strings.HasPrefix(model, modelPrefix) {
		model = modelPrefix
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %q %x %q", seed, model, prompt, salt))
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])))
}

// speak returns n tokens: a word each, with the space before it. The first k tokens do
// not depend on n.
func speak(voice *rand.Rand, n int) []string {
	tokens := make([]string, n)
	for i := range tokens {
		words := vocabulary
		if i%5 == 3 {
			words = foreign
		}
		word := words[voice.IntN(len(words))]
		if i > 0 {
			word = " " + word
		}
		if i%11 == 10 {
			word += "."
		}
		tokens[i] = word
	}
	return tokens
}

// goOn returns what is left of tokens after prefill, and whether prefill is their beginning.
func goOn(tokens []string, prefill string) ([]string, bool) {
	for i, token := range tokens {
		if prefill == "" {
			return tokens[i:], true
		}
		if len(prefill) < len(token) {
			if !strings.HasPrefix(token, prefill) {
				return nil, false
			}
			return append([]string{token[len(prefill):]}, tokens[i+1:]...), true
		}
		if !strings.HasPrefix(prefill, token) {
			return nil, false
		}
		prefill = prefill[len(token):]
	}
	return nil, prefill == ""
}

// pieces cuts s into tokens of about size bytes, never inside a character.
func pieces(s string, size int) []string {
	var out []string
	for len(s) > size {
		end := size
		for end < len(s) && !utf8.RuneStart(s[end]) {
			end++
		}
		out = append(out, s[:end])
		s = s[end:]
	}
	return append(out, s)
}
