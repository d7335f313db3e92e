// Package config reads the gateway's file: YAML that people write, checked so
// that every mistake is found before the first call is, and told with its place
// in the file, a caret below it, and the name that was probably meant.
//
// The file is the gateway's own vocabulary (providers, routes, listeners); the
// settings of the policies below a route are those of the policy rooms, so that
// a key never means something else than the field it fills. References
// (${NAME}, ${NAME:-default}, ${file:PATH}) are expanded in parsed values. No
// message and no printed line shows a secret or what a reference stands for.
//
// It opens nothing but the file and the secrets' files, and starts nothing.
package config
