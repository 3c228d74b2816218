package engine

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// instanceOr returns the given name, or a random one.
func instanceOr(given string) string {
	if given != "" {
		return given
	}
	var b [6]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// keptInstance returns the given name, or the one kept in the directory, which is
// made where there is none: a restart is then the same member.
func keptInstance(dir, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	path := filepath.Join(dir, "instance")
	kept, err := os.ReadFile(path)
	if name := strings.TrimSpace(string(kept)); err == nil && name != "" {
		return name, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read instance id: %w", err)
	}
	name := instanceOr("")
	next := path + ".new"
	if err := os.WriteFile(next, []byte(name+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("keep instance id: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return "", fmt.Errorf("keep instance id: %w", err)
	}
	return name, nil
}
