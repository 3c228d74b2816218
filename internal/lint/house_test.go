package lint

import (
	"os"
	"path/filepath"
	"testing"
)

// root is the module's directory as seen from this package.
const root = "../.."

func house(t *testing.T) []Package {
	t.Helper()
	packages, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

func report(t *testing.T, found []string) {
	t.Helper()
	for _, f := range found {
		t.Error(f)
	}
}

func TestImportsGoDown(t *testing.T)              { report(t, Layers(house(t))) }
func TestModulesAreImportedByOwners(t *testing.T) { report(t, Owners(house(t))) }

func TestSourcesKeepTheRules(t *testing.T) {
	rules := map[string]func(*Source) []string{
		"goroutines": Goroutines, "clocks": Clocks, "panics": Panics, "globals": Globals, "comments": Comments,
	}
	packages := house(t)
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			for i := range packages {
				s, err := Parse(&packages[i])
				if err != nil {
					t.Fatal(err)
				}
				report(t, rule(s))
			}
		})
	}
}

func TestTextsAreClean(t *testing.T) {
	found, err := Texts(root)
	if err != nil {
		t.Fatal(err)
	}
	report(t, found)
}

// A table that names what is gone protects nothing.
func TestTablesNameWhatExists(t *testing.T) {
	var paths []string
	for p := range floors {
		paths = append(paths, p)
	}
	for _, o := range owners {
		paths = append(paths, o...)
	}
	paths = append(append(append(paths, goroutines...), clockless...), panickers...)
	for _, p := range paths {
		if _, err := os.Stat(filepath.Join(root, p)); err != nil {
			t.Errorf("internal/lint/tables.go: %v", err)
		}
	}
}
