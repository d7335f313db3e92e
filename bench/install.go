package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// installDebian returns what makes sure that a command of a Debian package is
// there. Only root can install; its service is not started, not even once.
func installDebian(command, pkg string) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := exec.LookPath(command); err == nil {
			return nil
		}
		if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 {
			return errNotHere
		}
		const policy = "/usr/sbin/policy-rc.d" // asked before a package starts its service
		if _, err := os.Stat(policy); errors.Is(err, os.ErrNotExist) {
			if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
				return err
			}
			defer func() { _ = os.Remove(policy) }()
		}
		for _, args := range [][]string{{"update", "-q"}, {"install", "-qy", "--no-install-recommends", pkg}} {
			install := exec.CommandContext(ctx, "apt-get", args...)
			install.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
			if out, err := install.CombinedOutput(); err != nil {
				return fmt.Errorf("apt-get %s: %w: %s", args[0], err, lastLine(out))
			}
		}
		_, err := exec.LookPath(command)
		return err
	}
}

// portkeyHome is where Portkey is installed: outside the repository, once for
// each state of the lockfile's version.
func portkeyHome() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "holdfast-bench", "portkey-"+portkeyVersion), err
}

const (
	portkeyVersion = "1.15.2" // as in peers/portkey/package.json
	portkeyStart   = "node_modules/@portkey-ai/gateway/build/start-server.js"
)

// installPortkey installs what the lockfile names, if it is not there already.
func installPortkey(ctx context.Context) error {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not installed", program)
		}
	}
	home, err := portkeyHome()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(home, portkeyStart)); err == nil {
		return nil
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		content, err := templates.ReadFile("peers/portkey/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(home, name), content, 0o644); err != nil {
			return err
		}
	}
	npm := exec.CommandContext(ctx, "npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	npm.Dir = home
	if out, err := npm.CombinedOutput(); err != nil {
		_ = os.RemoveAll(filepath.Join(home, "node_modules")) // half of it would look like all of it
		return fmt.Errorf("npm ci: %w: %s", err, lastLine(out))
	}
	return nil
}

func lastLine(out []byte) string {
	text := strings.TrimSpace(string(out))
	return text[strings.LastIndexByte(text, '\n')+1:]
}
