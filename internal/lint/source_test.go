package lint

import (
	"go/token"
	"testing"
)

func source(t *testing.T, path, text string) *Source {
	t.Helper()
	s := &Source{Path: path, Name: "x", fset: token.NewFileSet()}
	if err := s.add("x.go", []byte(text)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSourceRulesFindOffences(t *testing.T) {
	for name, c := range map[string]struct {
		rule       func(*Source) []string
		path, text string
		want       string
	}{
		"go where none may be": {Goroutines, "state", "package x\nfunc f() { go f() }", "state/x.go:2: a go statement"},
		"go in the task core":  {Goroutines, "internal/engine/task", "package x\nfunc f() { go f() }", "no goroutine"},
		"go in the engine":     {Goroutines, "internal/engine", "package x\nfunc f() { go f() }", ""},
		"clock":                {Clocks, "processors", "package x\nimport \"time\"\nvar t = time.Now()", "time.Now: this room reads no clock"},
		"clock as a value":     {Clocks, "record", "package x\nimport \"time\"\nvar now = time.Now", "record/x.go:3: time.Now"},
		"timer":                {Clocks, "topology", "package x\nimport \"time\"\nfunc f() { <-time.After(1) }", "time.After"},
		"time's types":         {Clocks, "record", "package x\nimport \"time\"\nvar t = time.UnixMilli(1)", ""},
		"clock at the edge":    {Clocks, "internal/engine", "package x\nimport \"time\"\nvar t = time.Now()", ""},
		"panic":                {Panics, "state", "package x\nfunc f() { panic(1) }", "a panic"},
		"goka's Fail":          {Panics, "internal/engine/task", "package x\nfunc f() { panic(1) }", ""},
		"init":                 {Globals, "state", "package x\nfunc init() {}", "an init function"},
		"method named init":    {Globals, "state", "package x\ntype T int\nfunc (T) init() {}", ""},
		"counter":              {Globals, "state", "package x\nvar n int", "n is package-level state"},
		"map to fill":          {Globals, "state", "package x\nvar m = make(map[int]int)", "m is package-level state"},
		"lock":                 {Globals, "state", "package x\nimport \"sync\"\nvar p = &sync.Pool{}", "p is package-level state"},
		"sentinel":             {Globals, "state", "package x\nimport \"errors\"\nvar E = errors.New(\"e\")\nvar _ error = E", ""},
		"embedded file":        {Globals, "state", "package x\nimport _ \"embed\"\n//go:embed a.txt\nvar a string", ""},
		"default registry":     {Globals, "internal/metrics", "package x\nfunc f() { prometheus.MustRegister() }", "prometheus.MustRegister"},
		"no package comment":   {Comments, "state", "package x", "no package comment"},
		"commented":            {Comments, "state", "// Package x.\npackage x\n// F does.\nfunc F() {}\nconst (\n\tA = 1 // one\n)\ntype t int\nfunc (t) M() {}", ""},
		"function":             {Comments, "state", "// Package x.\npackage x\nfunc F() {}", "F has no comment"},
		"method":               {Comments, "state", "// Package x.\npackage x\n// T is.\ntype T[A any] int\nfunc (*T[A]) M() {}", "M has no comment"},
		"type":                 {Comments, "state", "// Package x.\npackage x\ntype T int", "T has no comment"},
		"constant":             {Comments, "state", "// Package x.\npackage x\nconst A = 1", "A has no comment"},
		"constants of a type":  {Comments, "state", "// Package x.\npackage x\n// T is.\ntype T int\nconst (\n\tA T = iota\n\tB\n)", ""},
		"well-known method":    {Comments, "state", "// Package x.\npackage x\n// T is.\ntype T int\nfunc (T) String() string { return \"\" }", ""},
		"only method":          {Comments, "state", "// Package x.\npackage x\n// I is.\ntype I interface{ M() }", ""},
		"methods in a row":     {Comments, "state", "// Package x.\npackage x\n// I is.\ntype I interface {\n\t// M and N do.\n\tM()\n\tN()\n}", ""},
		"interface's method":   {Comments, "state", "// Package x.\npackage x\n// I is.\ntype I interface {\n\tM() // does\n\n\tN()\n}", "I.N has no comment"},
	} {
		t.Run(name, func(t *testing.T) { expect(t, c.rule(source(t, c.path, c.text)), c.want) })
	}
}
