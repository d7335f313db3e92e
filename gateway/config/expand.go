package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// maxSecretFile bounds what ${file:PATH} reads.
const maxSecretFile = 64 << 10

// environment is where references are looked up; tests have their own.
type environment struct {
	lookup func(name string) (string, bool)
	read   func(path string) (string, error)
}

func systemEnvironment() environment {
	return environment{lookup: os.LookupEnv, read: readSecret}
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces the references in one scalar: ${VAR}, ${VAR:-default} and
// ${file:PATH}; $${ stands for ${ itself. It works on parsed values, never on
// the text of the file, because a secret may contain YAML syntax. Errors name
// variables and paths, never values.
func (env environment) expand(text string) (string, error) {
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			return b.String(), nil
		}
		if i > 0 && text[i-1] == '$' {
			b.WriteString(text[:i-1])
			b.WriteString("${")
			text = text[i+2:]
			continue
		}
		b.WriteString(text[:i])
		inner, rest, closed := strings.Cut(text[i+2:], "}")
		if !closed {
			return "", errors.New("${ is not closed with }; write $${ for the characters themselves")
		}
		value, err := env.resolve(inner)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		text = rest
	}
}

func (env environment) resolve(inner string) (string, error) {
	if path, ok := strings.CutPrefix(inner, "file:"); ok {
		value, err := env.read(path)
		if err != nil {
			return "", fmt.Errorf("${file:%s}: %w", path, err)
		}
		return strings.TrimRight(value, "\r\n"), nil
	}
	name, fallback, hasFallback := strings.Cut(inner, ":-")
	if !variableName.MatchString(name) {
		return "", fmt.Errorf("${%s} is no reference; write ${NAME}, ${NAME:-default} or ${file:PATH}", inner)
	}
	value, ok := env.lookup(name)
	switch {
	case ok && value != "":
		return value, nil
	case hasFallback:
		return fallback, nil
	case ok:
		return "", fmt.Errorf("the environment variable %s is empty; set it, or write ${%s:-default}", name, name)
	}
	return "", fmt.Errorf("the environment variable %s is not set; set it, or write ${%s:-default}", name, name)
}

func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", errors.New("cannot be read")
	}
	if len(content) > maxSecretFile {
		return "", fmt.Errorf("is larger than %d bytes", maxSecretFile)
	}
	return string(content), nil
}
