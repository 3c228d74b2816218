package lint

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// Comments finds packages without a package comment and exported identifiers without
// a comment. A comment at the end of the line will do; so does one above the group for
// constants and variables, and the type's for its constants and for an interface's
// only method. A comment above methods of an interface holds for all up to the next
// blank line. Methods whose meaning the standard library fixes need none.
func Comments(s *Source) []string {
	if len(s.Files) == 0 {
		return nil // tests only
	}
	var found []string
	documented := false
	for _, f := range s.Files {
		documented = documented || f.Doc.Text() != ""
		for _, d := range f.Decls {
			found = append(found, s.undocumented(d)...)
		}
	}
	if !documented {
		found = append(found, s.finding(s.Files[0], "package %s has no package comment", s.Name))
	}
	return found
}

func (s *Source) undocumented(d ast.Decl) []string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && exportedReceiver(d.Recv) && d.Doc.Text() == "" && !wellKnown(d) {
			return []string{s.finding(d, "%s has no comment", d.Name.Name)}
		}
	case *ast.GenDecl:
		var found []string
		for _, spec := range d.Specs {
			found = append(found, s.undocumentedSpec(d, spec)...)
		}
		return found
	}
	return nil
}

func (s *Source) undocumentedSpec(d *ast.GenDecl, spec ast.Spec) []string {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		return s.undocumentedType(d, spec)
	case *ast.ValueSpec:
		if d.Doc.Text()+spec.Doc.Text()+spec.Comment.Text() != "" || enum(d) {
			return nil
		}
		var found []string
		for _, n := range spec.Names {
			if n.IsExported() {
				found = append(found, s.finding(n, "%s has no comment", n.Name))
			}
		}
		return found
	}
	return nil
}

// undocumentedType looks at a type and, where it is an interface, at its methods.
func (s *Source) undocumentedType(d *ast.GenDecl, t *ast.TypeSpec) []string {
	if !t.Name.IsExported() {
		return nil
	}
	var found []string
	if d.Doc.Text()+t.Doc.Text()+t.Comment.Text() == "" {
		found = append(found, s.finding(t, "%s has no comment", t.Name.Name))
	}
	if i, ok := t.Type.(*ast.InterfaceType); ok && i.Methods.NumFields() > 1 {
		found = append(found, s.undocumentedMethods(t.Name.Name, i)...)
	}
	return found
}

func (s *Source) undocumentedMethods(name string, i *ast.InterfaceType) []string {
	var found []string
	covered := 0 // the line up to which the last comment holds
	for _, m := range i.Methods.List {
		line, end := s.fset.Position(m.Pos()).Line, s.fset.Position(m.End()).Line
		embedded := len(m.Names) == 0
		switch {
		case embedded, m.Doc.Text()+m.Comment.Text() != "", line == covered+1:
			covered = end
		case m.Names[0].IsExported():
			found = append(found, s.finding(m, "%s.%s has no comment: who calls it when, and what it may return", name, m.Names[0].Name))
		}
	}
	return found
}

// wellKnown reports whether d is a method that the standard library explains.
func wellKnown(d *ast.FuncDecl) bool {
	return d.Recv != nil && slices.Contains([]string{"Error", "Unwrap", "Is", "As", "String", "Len", "Less", "Swap"}, d.Name.Name)
}

// enum reports whether the group declares constants of a type of the package's own.
func enum(d *ast.GenDecl) bool {
	first, ok := d.Specs[0].(*ast.ValueSpec)
	if !ok || d.Tok != token.CONST {
		return false
	}
	id, ok := first.Type.(*ast.Ident)
	return ok && id.IsExported()
}

// exportedReceiver reports whether a function is reachable: it has no receiver, or
// one of an exported type.
func exportedReceiver(recv *ast.FieldList) bool {
	if recv == nil {
		return true
	}
	t := recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported() && !strings.HasPrefix(x.Name, "_")
		default:
			return false
		}
	}
}
