package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/keys"
)

// keptVersions is how many versions of one file are kept.
const keptVersions = 20

// History keeps the versions of one file that were put in force, as they were
// written: references stay references, so that a secret is in no version that
// was not in the file. Its folder and files can be read by their owner only.
type History struct{ folder string }

// Version is one version of a file.
type Version struct {
	At   time.Time `json:"at"` // when it was put in force
	File string    `json:"file"`
	Size int64     `json:"bytes"`
}

const versionLayout = "20060102T150405.000000000Z"

// HistoryOf returns the history of a file: below $HOLDFAST_STATE, else
// $XDG_STATE_HOME/holdfast, else ~/.local/state/holdfast. The error says that
// none of these is known.
func HistoryOf(path string) (History, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return History{}, err
	}
	folder := os.Getenv("HOLDFAST_STATE")
	if xdg := os.Getenv("XDG_STATE_HOME"); folder == "" && xdg != "" {
		folder = filepath.Join(xdg, "holdfast")
	}
	if folder == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return History{}, errors.New("no folder for state: set HOLDFAST_STATE")
		}
		folder = filepath.Join(home, ".local", "state", "holdfast")
	}
	digest := keys.DigestOf(absolute)
	return History{filepath.Join(folder, "history", fmt.Sprintf("%x", digest[:8]))}, nil
}

// Keep adds a version unless it is the newest one already, and forgets the
// oldest beyond twenty.
func (h History) Keep(text []byte, at time.Time) error {
	versions, err := h.Versions()
	if err != nil {
		return err
	}
	if len(versions) > 0 {
		if newest, err := os.ReadFile(versions[0].File); err == nil && string(newest) == string(text) {
			return nil
		}
	}
	if err := os.MkdirAll(h.folder, 0o700); err != nil {
		return err
	}
	name := filepath.Join(h.folder, at.UTC().Format(versionLayout)+".yaml")
	if err := writeFile(name, text, 0o600); err != nil {
		return err
	}
	for _, old := range versions[min(len(versions), keptVersions-1):] {
		if err := os.Remove(old.File); err != nil {
			return err
		}
	}
	return nil
}

// Versions returns what is kept, the newest first.
func (h History) Versions() ([]Version, error) {
	entries, err := os.ReadDir(h.folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var versions []Version
	for _, e := range entries {
		at, err := time.Parse(versionLayout, strings.TrimSuffix(e.Name(), ".yaml"))
		info, infoErr := e.Info()
		if err != nil || infoErr != nil {
			continue // not ours
		}
		versions = append(versions, Version{At: at, File: filepath.Join(h.folder, e.Name()), Size: info.Size()})
	}
	slices.SortFunc(versions, func(a, b Version) int { return b.At.Compare(a.At) })
	return versions, nil
}

// writeFile replaces a file in one step, so that nobody reads half of it. A link
// stays a link.
func writeFile(path string, text []byte, mode os.FileMode) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".holdfast-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // gone already when all went well
	_, err = temporary.Write(text)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close())
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}
