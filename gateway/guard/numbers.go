package guard

// mostDigits is what the longest number that is looked for has.
const mostDigits = 19

// number is a run of digits, of which groups may stand apart by one blank or hyphen each.
type number struct {
	digits [mostDigits]byte // their values
	ends   [mostDigits]int  // the index after each
	n      int
	groups [mostDigits]int // digits in each group
	parts  int
	whole  bool // there are no more than mostDigits
}

func readNumber(b []byte, i int) (v number) {
	for v.parts = 1; i < len(b); i++ {
		switch c := b[i]; {
		case isDigit(c):
			if v.n == mostDigits {
				return v
			}
			v.digits[v.n], v.ends[v.n] = c-'0', i+1
			v.n++
			v.groups[v.parts-1]++
		case (c == ' ' || c == '-') && i+1 < len(b) && isDigit(b[i+1]) && v.parts < mostDigits && v.n > 0:
			v.parts++
		default:
			v.whole = true
			return v
		}
	}
	v.whole = true
	return v
}

// ends says whether a number may end at i: before no letter, no digit and no decimals.
func ends(b []byte, i int) bool {
	if i >= len(b) {
		return true
	}
	if b[i] == '.' && i+1 < len(b) && isDigit(b[i+1]) {
		return false
	}
	return !isAlnum(b[i]) && b[i] != '_'
}

// phone matches Chinese mobile numbers, with or without +86, and numbers in E.164 form, which begin with a +.
func phone(b []byte, i int) int {
	if b[i] == '+' {
		return international(b, i)
	}
	skip := 0
	switch {
	case startsWith(b[i:], "0086"):
		skip = 4
	case startsWith(b[i:], "86"):
		skip = 2
	}
	if end := mobile(b, i+skip); end > 0 {
		return end
	}
	if skip > 0 {
		if j := i + skip; j < len(b) && (b[j] == ' ' || b[j] == '-') {
			return mobile(b, j+1)
		}
		return mobile(b, i)
	}
	return 0
}

func startsWith(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// mobile matches 1[3-9] and nine digits, in one group or as 3-4-4.
func mobile(b []byte, i int) int {
	if i >= len(b) || b[i] != '1' {
		return 0
	}
	v := readNumber(b, i)
	if v.n < 11 || v.digits[1] < 3 || !ends(b, v.ends[10]) {
		return 0
	}
	if v.groups[0] == 11 || v.groups[0] == 3 && v.groups[1] == 4 && v.groups[2] == 4 {
		return v.ends[10]
	}
	return 0
}

// international matches a +, a country code and up to 15 digits in all, with blanks, hyphens, dots or brackets between groups.
func international(b []byte, i int) int {
	digits, end := 0, 0
	for j := i + 1; j < len(b); j++ {
		switch c := b[j]; {
		case isDigit(c):
			if digits == 0 && c == '0' || digits == 15 {
				return 0
			}
			digits++
			end = j + 1
		case digits > 0 && j-end < 2 && (c == ' ' || c == '-' || c == '.' || c == '(' || c == ')'):
		default:
			j = len(b)
		}
	}
	if digits < 8 || !ends(b, end) {
		return 0
	}
	return end
}

// idCard matches the 18 characters of a Chinese identity card: region, date of birth, serial number and check character (GB 11643).
func idCard(b []byte, i int) int {
	if i+18 > len(b) || !ends(b, i+18) {
		return 0
	}
	id := b[i : i+18]
	weights := [17]int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2}
	sum := 0
	for k, w := range weights {
		if !isDigit(id[k]) {
			return 0
		}
		sum += w * int(id[k]-'0')
	}
	last := id[17]
	if last == 'x' {
		last = 'X'
	}
	if "10X98765432"[sum%11] != last || !isRegion(id[:2]) || !isBirthday(id[6:14]) {
		return 0
	}
	return i + 18
}

func isRegion(b []byte) bool {
	switch two := int(b[0]-'0')*10 + int(b[1]-'0'); two / 10 {
	case 1:
		return two >= 11 && two <= 15
	case 2:
		return two >= 21 && two <= 23
	case 3:
		return two >= 31 && two <= 37
	case 4:
		return two >= 41 && two <= 46
	case 5:
		return two >= 50 && two <= 54
	case 6:
		return two >= 61 && two <= 65
	default:
		return two == 71 || two >= 81 && two <= 83
	}
}

func isBirthday(b []byte) bool {
	n := func(digits []byte) (v int) {
		for _, c := range digits {
			v = v*10 + int(c-'0')
		}
		return v
	}
	year, month, day := n(b[:4]), n(b[4:6]), n(b[6:])
	return year >= 1880 && year < 2100 && month >= 1 && month <= 12 && day >= 1 && day <= 31
}

// bankCard matches 13 to 19 digits of a card network with a right check digit (ISO 7812). Groups, but for the last one, have
// at least four digits.
func bankCard(b []byte, i int) int {
	v := readNumber(b, i)
	total := 0
	for part := range v.parts {
		total += v.groups[part]
		if total >= 13 && total <= v.n && ends(b, v.ends[total-1]) && network(&v, total) && luhn(v.digits[:total]) {
			if total < v.n || v.whole { // a longer run of digits is something else
				return v.ends[total-1]
			}
		}
		if v.groups[part] < 4 {
			return 0
		}
	}
	return 0
}

// network says whether one of the card networks issues numbers of n digits that begin so.
func network(v *number, n int) bool {
	two := int(v.digits[0])*10 + int(v.digits[1])
	four := two*100 + int(v.digits[2])*10 + int(v.digits[3])
	switch {
	case v.digits[0] == 4:
		return n == 13 || n == 16 || n == 19
	case two >= 51 && two <= 55, four >= 2221 && four <= 2720, four >= 2200 && four <= 2204:
		return n == 16
	case two == 34, two == 37:
		return n == 15
	case two == 62, two == 81: // UnionPay
		return n >= 16
	case two == 35, two == 65, four == 6011:
		return n == 16
	case two == 36, two == 38, two == 39:
		return n == 14
	}
	return false
}

func luhn(digits []byte) bool {
	sum := 0
	for i, d := range digits {
		if (len(digits)-i)%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += int(d)
	}
	return sum%10 == 0
}

// numberPending says whether everything from i on can be a number that goes on.
func numberPending(b []byte, i int) bool {
	digits := 0
	for j, c := range b[i:] {
		switch {
		case isDigit(c):
			if digits++; digits > mostDigits {
				return false
			}
		case j == 0 && c == '+':
		case c == ' ' || c == '-' || c == '.' || c == '(' || c == ')':
		case (c == 'X' || c == 'x') && digits == 17 && i+j == len(b)-1:
		default:
			return false
		}
	}
	return true
}
