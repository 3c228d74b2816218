package lint

import (
	"fmt"
	"slices"
	"strings"
)

// Layers finds packages that are on no floor, imports that do not go down, and test
// rooms that are imported outside of tests.
func Layers(packages []Package) []string {
	var found []string
	for i := range packages {
		p := &packages[i]
		if _, ok := floor(p.Path()); !ok {
			found = append(found, fmt.Sprintf("%s is on no floor: give it one in internal/lint/tables.go and say why in docs/adr", p.Path()))
			continue
		}
		for _, to := range p.Imports {
			found = append(found, notDown(p, to, false)...)
		}
		for _, to := range slices.Concat(p.TestImports, p.XTestImports) {
			found = append(found, notDown(p, to, true)...)
		}
	}
	return tidy(found)
}

// floor finds the floor of a path inside the module.
func floor(path string) (float64, bool) {
	if f, ok := floors[path]; ok {
		return f, true
	}
	for prefix, f := range floors {
		if strings.HasSuffix(prefix, "/") && strings.HasPrefix(path, prefix) {
			return f, true
		}
	}
	return 0, false
}

// notDown is the finding where p may not import the package to. Tests may import
// their own floor, too, and test rooms of any.
func notDown(p *Package, to string, test bool) []string {
	from, target := p.Path(), inside(p.Module.Path, to)
	if target == "" || target == from || program(from) != "" && program(from) == program(target) {
		return nil
	}
	if testRooms[target] {
		if test || testRooms[from] && from != "internal/lint" {
			return nil
		}
		return []string{fmt.Sprintf("%s imports %s outside of tests: it is there for tests", from, target)}
	}
	upper, _ := floor(from)
	lower, _ := floor(target) // a target on no floor is a finding of its own
	if lower < upper || test && lower == upper {
		return nil
	}
	return []string{fmt.Sprintf("%s (floor %g) imports %s (floor %g): imports go down; move the code, or let the upper package hand it in", from, upper, target, lower)}
}

// program names the program that a package is a part of: those below one example or
// command import each other freely.
func program(path string) string {
	parts := strings.SplitN(path, "/", 3)
	if len(parts) < 2 || parts[0] != "cmd" && parts[0] != "examples" {
		return ""
	}
	return parts[0] + "/" + parts[1]
}

// Owners finds imports of modules by packages that do not own them, and of modules
// that nobody owns. Tests may import all that has an entry.
func Owners(packages []Package) []string {
	var found []string
	for i := range packages {
		p := &packages[i]
		for _, to := range p.Imports {
			found = append(found, notOwned(p, to, false)...)
		}
		for _, to := range slices.Concat(p.TestImports, p.XTestImports) {
			found = append(found, notOwned(p, to, true)...)
		}
	}
	return tidy(found)
}

func notOwned(p *Package, to string, test bool) []string {
	if inside(p.Module.Path, to) != "" {
		return nil
	}
	module := longestOwned(to)
	standard := !strings.Contains(strings.SplitN(to, "/", 2)[0], ".")
	switch {
	case module == "" && standard, module != "" && test:
		return nil
	case module == "":
		return []string{fmt.Sprintf("%s imports %s, which has no owner: add it to internal/lint/tables.go and docs/dependencies.md, or do without", p.Path(), to)}
	case !covered(owners[module], p.Path()):
		return []string{fmt.Sprintf("%s imports %s, which belongs to %s", p.Path(), to, orNobody(owners[module]))}
	}
	return nil
}

// longestOwned finds the entry of owners for an import path.
func longestOwned(path string) string {
	best := ""
	for m := range owners {
		if (path == m || !stdlib[m] && strings.HasPrefix(path, m+"/")) && len(m) > len(best) {
			best = m
		}
	}
	return best
}

// covered reports whether a list of paths and prefixes names the path.
func covered(list []string, path string) bool {
	return slices.ContainsFunc(list, func(l string) bool {
		return l == path || strings.HasSuffix(l, "/") && strings.HasPrefix(path, l)
	})
}

func orNobody(list []string) string {
	if len(list) == 0 {
		return "nobody"
	}
	return strings.Join(list, ", ")
}

// tidy sorts findings and names each once.
func tidy(found []string) []string {
	slices.Sort(found)
	return slices.Compact(found)
}
