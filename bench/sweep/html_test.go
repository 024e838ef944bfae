package sweep

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// element is a part of a page.
type element struct {
	name     string
	attr     map[string]string
	text     string
	children []*element
}

// parsed reads a page as XML, whose rules are stricter than HTML's.
func parsed(t *testing.T, page []byte) *element {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(page))
	root := &element{}
	open := []*element{root}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return root
		}
		if err != nil {
			t.Fatal(err)
		}
		top := open[len(open)-1]
		switch x := token.(type) {
		case xml.StartElement:
			e := &element{name: x.Name.Local, attr: map[string]string{}}
			for _, a := range x.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			top.children = append(top.children, e)
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			top.text += string(x)
		}
	}
}

// all are the elements of a name below e.
func (e *element) all(name string) []*element {
	var found []*element
	for _, c := range e.children {
		if c.name == name {
			found = append(found, c)
		}
		found = append(found, c.all(name)...)
	}
	return found
}

func pageOf(t *testing.T, r *Result) (string, *element) {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String(), parsed(t, b.Bytes())
}

func TestWriteHTML_NeedsNothingElse(t *testing.T) {
	text, page := pageOf(t, tiny())
	if found := regexp.MustCompile(`(?i)https?:|//|<script|<link|<img|@import|url\(|\bsrc=`).FindAllString(text, -1); len(found) != 0 {
		t.Errorf("the page refers to something outside: %q", found)
	}
	ids := map[string]bool{}
	for _, s := range page.all("section") {
		ids["#"+s.attr["id"]] = true
	}
	for _, a := range page.all("a") {
		if !ids[a.attr["href"]] {
			t.Errorf("a link to %q, which is nowhere", a.attr["href"])
		}
	}
}

func TestWriteHTML_ShowsEveryWorkloadAndPolicy(t *testing.T) {
	r := tiny()
	_, page := pageOf(t, r)
	sections := page.all("section")
	if len(sections) != len(r.Cells) {
		t.Fatalf("%d sections for %d workloads", len(sections), len(r.Cells))
	}
	for i, s := range sections {
		if s.all("h2")[0].text != r.Config.Workloads[i].Name || s.all("p")[0].text != r.Config.Workloads[i].About {
			t.Errorf("section %d is headed %q, %q", i, s.all("h2")[0].text, s.all("p")[0].text)
		}
		rows := s.all("table")[0].all("tr")
		for k, row := range rows[1:] {
			cells := row.all("td")
			if k == 0 {
				cells = row.all("th")
			} else if want := r.figures(i, k-1, 0, 2); cells[0].text != want[0] || cells[len(cells)-1].text != want[len(want)-1] {
				t.Errorf("row %d begins with %q and ends with %q, want %v", k, cells[0].text, cells[len(cells)-1].text, want)
			}
			if len(cells) != len(r.head()) {
				t.Errorf("%d cells in row %d, want %d", len(cells), k, len(r.head()))
			}
		}
		svgs := s.all("svg")
		if len(svgs) != 1+len(r.Config.Policies) {
			t.Fatalf("%d charts, want one of TTFT and one of the load for each policy", len(svgs))
		}
		var names []string
		classes := map[string]bool{}
		for _, c := range svgs[0].all("polyline") {
			names = append(names, c.all("title")[0].text)
			classes[c.attr["class"]] = true
		}
		if !slices.Equal(names, r.Config.Policies) || len(classes) != len(names) {
			t.Errorf("curves of %v in colours %v, want one for each of %v", names, classes, r.Config.Policies)
		}
		for _, c := range svgs[1:] {
			if n := len(c.all("polyline")); n != 2 {
				t.Errorf("%d lines for two replicas", n)
			}
		}
		if n := len(s.all("b")); n != len(r.Config.Policies) {
			t.Errorf("%d bars of hit rates", n)
		}
	}
}

func point(text string) (x, y float64, err error) {
	left, right, _ := strings.Cut(text, ",")
	x, err = strconv.ParseFloat(left, 64)
	if err == nil {
		y, err = strconv.ParseFloat(right, 64)
	}
	return x, y, err
}

// Every point lies inside its chart.
func TestWriteHTML_DrawsInsideTheCharts(t *testing.T) {
	r := swept(t, Config{Workloads: find(t, "hot,drift16"), Policies: []string{"warm", "round_robin"}, Seeds: 1, FirstSeed: 1})
	_, page := pageOf(t, r)
	for _, s := range page.all("svg") {
		width, height := loadWidth, loadHeight
		if s.attr["preserveAspectRatio"] == "" {
			width, height = chartWidth, chartHeight
		}
		for _, c := range s.all("polyline") {
			points := strings.Fields(c.attr["points"])
			if len(points) < 20 || len(points) > 700 {
				t.Errorf("a line of %d points", len(points))
			}
			for _, p := range points {
				x, y, err := point(p)
				if err != nil || !(x >= 0 && x <= width && y >= 0 && y <= height) {
					t.Fatalf("point %q of %s is outside of %v x %v", p, c.all("title")[0].text, width, height)
				}
			}
		}
	}
	if lines := page.all("section")[1].all("svg")[1].all("polyline"); len(lines) != 3 || lines[0].all("title")[0].text != "the fullest replica" {
		t.Errorf("%d lines for sixteen replicas, want the fullest, the mean and the emptiest", len(lines))
	}
}

func TestWriteHTML_OfNothingMuch(t *testing.T) {
	r := tiny()
	r.Config.Policies, r.Config.Workloads = r.Config.Policies[:1], r.Config.Workloads[:1]
	r.Cells = [][]Cell{{{Runs: make([]Metrics, 2), firsts: make([][]float64, 2)}}}
	_, page := pageOf(t, r)
	if n := len(page.all("polyline")); n != 0 {
		t.Errorf("%d lines of no request", n)
	}
}

func TestMarks_TellManyPoliciesApart(t *testing.T) {
	names := append(PolicyNames(), "warm:w=1")
	seen := map[string]string{}
	for _, m := range marks(names) {
		if other, taken := seen[m.Class]; taken {
			t.Errorf("%s looks like %s", m.Name, other)
		}
		seen[m.Class] = m.Name
	}
}

func TestTimeGrid_LabelsDoNotOverlap(t *testing.T) {
	r := tiny()
	for _, most := range []float64{0.0101, 0.1, 3, 4, 30, 900} {
		r.Cells[0][0].firsts = [][]float64{{0.01, most}}
		r.Cells[0][1].firsts, r.Cells[0][2].firsts = nil, nil
		marks, _ := r.distribution(0)
		for i, m := range marks {
			if m.X < 0 || m.X > chartWidth || i > 0 && m.X-marks[i-1].X < 50 {
				t.Errorf("up to %v s: label %q at %.0f of %v", most, m.Text, m.X, marks)
			}
		}
		if len(marks) < 2 && most > 0.05 {
			t.Errorf("up to %v s: labels %v", most, marks)
		}
	}
}
