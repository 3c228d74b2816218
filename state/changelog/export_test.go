package changelog

import "github.com/seed-73111be4/kappa/record"

// EditMeta changes the log positions of an encoded meta record.
func EditMeta(b []byte, edit func(logs []record.Position)) ([]byte, error) {
	m, err := parseMeta(b)
	if err != nil {
		return nil, err
	}
	edit(m.Logs)
	return m.Append(nil), nil
}

// ParseMeta reads a meta record and writes it again.
func ParseMeta(b []byte) ([]byte, error) {
	m, err := parseMeta(b)
	if err != nil {
		return nil, err
	}
	return m.Append(nil), nil
}
