package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Source is a package's parsed Go files, those of other platforms included, tests not.
type Source struct {
	Path  string // inside the module
	Name  string // of the package
	Files []*ast.File
	fset  *token.FileSet
}

// Parse reads the Go files of a package.
func Parse(p *Package) (*Source, error) {
	s := &Source{Path: p.Path(), Name: p.Name, fset: token.NewFileSet()}
	names, err := filepath.Glob(filepath.Join(p.Dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if err := s.add(filepath.Base(name), text); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// add parses one file.
func (s *Source) add(name string, text []byte) error {
	f, err := parser.ParseFile(s.fset, filepath.Join(s.Path, name), text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	s.Files = append(s.Files, f)
	return nil
}

func (s *Source) finding(at ast.Node, format string, args ...any) string {
	p := s.fset.Position(at.Pos())
	return fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...))
}

// inspect collects what look finds at the nodes of all files.
func (s *Source) inspect(look func(ast.Node) string) []string {
	var found []string
	for _, f := range s.Files {
		ast.Inspect(f, func(n ast.Node) bool {
			if n != nil {
				if why := look(n); why != "" {
					found = append(found, s.finding(n, "%s", why))
				}
			}
			return true
		})
	}
	return found
}

// Goroutines finds go statements where none may stand.
func Goroutines(s *Source) []string {
	if covered(goroutines, s.Path) {
		return nil
	}
	return s.inspect(func(n ast.Node) string {
		if _, ok := n.(*ast.GoStmt); ok {
			return "a go statement: this room starts no goroutine"
		}
		return ""
	})
}

// Clocks finds reads of the clock, timers and sleeps where time comes in with the call.
func Clocks(s *Source) []string {
	if !covered(clockless, s.Path) {
		return nil
	}
	forbidden := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	return s.inspect(func(n ast.Node) string {
		if name := selector(n); slices.Contains(forbidden, strings.TrimPrefix(name, "time.")) && strings.HasPrefix(name, "time.") {
			return name + ": this room reads no clock; take the time as an argument"
		}
		return ""
	})
}

// Panics finds calls of panic where an error must be returned.
func Panics(s *Source) []string {
	if covered(panickers, s.Path) {
		return nil
	}
	return s.inspect(func(n ast.Node) string {
		if call, ok := n.(*ast.CallExpr); ok {
			if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "panic" {
				return "a panic: return an error (docs/adr/0004-panics.md)"
			}
		}
		return ""
	})
}

// Globals finds init functions, package-level variables that are there to be changed,
// and uses of other packages' global state.
func Globals(s *Source) []string {
	found := s.inspect(func(n ast.Node) string {
		if name := selector(n); slices.Contains(globalCalls, name) {
			return name + " is state of the whole process: take what you need as an argument"
		}
		return ""
	})
	for _, f := range s.Files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.Name == "init" && d.Recv == nil {
					found = append(found, s.finding(d, "an init function: let the caller decide"))
				}
			case *ast.GenDecl:
				found = append(found, s.mutable(d)...)
			}
		}
	}
	return found
}

// mutable finds variables without a value, of a lock's type, or made to be filled.
// Sentinel errors, tables and assertions stay.
func (s *Source) mutable(d *ast.GenDecl) []string {
	var found []string
	for _, spec := range d.Specs {
		v, ok := spec.(*ast.ValueSpec)
		if !ok || d.Tok != token.VAR || embedded(d, v) {
			continue
		}
		if len(v.Values) == 0 || slices.ContainsFunc(v.Values, fillable) {
			found = append(found, s.finding(v, "%s is package-level state: put it into a value that somebody owns", v.Names[0].Name))
		}
	}
	return found
}

// embedded reports whether the variable is filled by go:embed.
func embedded(d *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{d.Doc, v.Doc} {
		if doc == nil {
			continue
		}
		if slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") }) {
			return true
		}
	}
	return false
}

// fillable reports whether an initial value is one to be changed later: make, new, or
// a literal of sync and its children.
func fillable(value ast.Expr) bool {
	switch v := value.(type) {
	case *ast.CallExpr:
		id, ok := v.Fun.(*ast.Ident)
		return ok && (id.Name == "make" || id.Name == "new")
	case *ast.UnaryExpr:
		return fillable(v.X)
	case *ast.CompositeLit:
		name := selector(v.Type)
		return strings.HasPrefix(name, "sync.") || strings.HasPrefix(name, "atomic.")
	}
	return false
}

// selector returns "pkg.Name" for such an expression, else "".
func selector(n ast.Node) string {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if id, ok := sel.X.(*ast.Ident); ok {
		return id.Name + "." + sel.Sel.Name
	}
	return ""
}
