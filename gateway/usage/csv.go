package usage

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strings"
)

// CSV is the report as RFC 4180 has it: a line of names, then the rows. It has no line of totals, which sums over a column would count twice.
func (r *Report) CSV() ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.UseCRLF = true
	var line []string
	for _, d := range r.By {
		line = append(line, d.String())
	}
	_ = w.Write(append(line, Measures()...)) // a buffer takes everything
	for i := range r.Rows {
		line = line[:0]
		for _, d := range r.By {
			line = append(line, harmless(r.Rows[i].Key[d]))
		}
		for m := range measures {
			line = append(line, r.Rows[i].Count.text(m))
		}
		_ = w.Write(line)
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return nil, fmt.Errorf("writing usage as CSV: %w", err)
	}
	return out.Bytes(), nil
}

// harmless puts an apostrophe before a name, which a caller may have chosen, that spreadsheets would take for a formula: OWASP's list for
// CSV injection, with the full-width forms that East Asian versions take as well.
func harmless(name string) string {
	if name != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(name)[0]) {
		return "'" + name
	}
	return name
}
