package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Package is what the rules need to know of a package, as go list tells it.
type Package struct {
	ImportPath   string
	Name         string
	Dir          string
	Module       struct{ Path, Dir string }
	Imports      []string // of the package's own files
	TestImports  []string // of tests inside the package
	XTestImports []string // of tests beside it
	Error        *struct{ Err string }
}

// Path returns the package's path inside its module, "." for the root.
func (p *Package) Path() string { return inside(p.Module.Path, p.ImportPath) }

// inside cuts the module from an import path; "" where the path is not of the module.
func inside(module, path string) string {
	if path == module {
		return "."
	}
	if rest, ok := strings.CutPrefix(path, module+"/"); ok {
		return rest
	}
	return ""
}

// Load lists the packages of the module that dir is in.
func Load(dir string) ([]Package, error) {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Dir,Module,Imports,TestImports,XTestImports,Error", "./...")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.String())
	}
	return decode(bytes.NewReader(out))
}

func decode(r io.Reader) ([]Package, error) {
	var all []Package
	for d := json.NewDecoder(r); ; {
		var p Package
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.Error != nil {
			return nil, fmt.Errorf("go list: %s: %s", p.ImportPath, p.Error.Err)
		}
		all = append(all, p)
	}
}
