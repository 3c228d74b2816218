package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"os"
)

// One month of flights out of New York City and the names of airlines and
// airports; data/README.md says where they are from.
var (
	//go:embed data/flights-2013-01.csv.gz
	januaryFile []byte
	//go:embed data/airlines.csv.gz
	airlinesFile []byte
	//go:embed data/airports.csv.gz
	airportsFile []byte
)

// January returns the month that the example ships with.
func January() (*Month, error) { return ReadMonth(bytes.NewReader(januaryFile)) }

// readFile reads a month's file; "-" is the standard input.
func readFile(path string, stdin io.Reader) (*Month, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		stdin = f
	}
	m, err := ReadMonth(stdin)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return m, nil
}

// names reads a list of the form "key,name,…" into a map.
func names(file []byte, key string) (map[string]string, error) {
	t, err := readTable(bytes.NewReader(file), key, "name")
	if err != nil {
		return nil, err
	}
	list := make(map[string]string)
	for {
		f, err := t.next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		list[f.text(key)] = f.text("name")
		if f.bad != nil {
			return nil, f.bad
		}
	}
}
