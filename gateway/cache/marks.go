package cache

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// marks are the parts of a text that embeddings hardly see and answers depend on, in their order: numbers, signs, negations, words that have
// an opposite, what stands in quotes, and names as far as letters show them. Texts are compared only where all of these are the same.
// A word too many here costs a hit, one too few a wrong answer, so that in doubt a word is one.
func marks(text string) string {
	m := marker{rest: norm.NFKC.String(text), opening: true}
	m.foreign = strings.ContainsFunc(m.rest, isHan)
	for m.rest != "" {
		m.next()
	}
	return m.found.String()
}

// marker walks through a text.
type marker struct {
	rest    string
	before  rune // the last one passed, 0 at the beginning
	opening bool // no word of the sentence has come yet
	foreign bool // the text is Chinese or Japanese, where words in letters are names
	found   strings.Builder
}

func (m *marker) mark(text string) {
	m.found.WriteString(text)
	m.found.WriteByte(0)
}

// pass goes on by n bytes.
func (m *marker) pass(n int) {
	m.before, _ = utf8.DecodeLastRuneInString(m.rest[:n])
	m.rest = m.rest[n:]
}

func (m *marker) next() {
	r, size := utf8.DecodeRuneInString(m.rest)
	switch {
	case unicode.IsDigit(r) || unicode.IsLetter(r) && !isHan(r):
		m.word()
	case strings.ContainsRune(hanNumerals, r):
		n := len(m.rest) - len(strings.TrimLeft(m.rest, hanNumerals))
		m.mark(m.rest[:n])
		m.pass(n)
	case isHan(r):
		m.han(size)
	case closing[r] != 0:
		m.quote(size, closing[r])
	case unicode.Is(unicode.Sc, r) || unicode.Is(unicode.Sm, r) || strings.ContainsRune("%‰°#*/\\&^", r) || r == '-' && m.signs(size):
		m.mark(m.rest[:size])
		m.pass(size)
	default:
		m.opening = m.opening || strings.ContainsRune(".!?。!?\n:;", r)
		m.pass(size)
	}
}

// signs says whether the hyphen in front is the sign of a number.
func (m *marker) signs(size int) bool {
	after, _ := utf8.DecodeRuneInString(m.rest[size:])
	return unicode.IsDigit(after) && !unicode.IsLetter(m.before) && !unicode.IsDigit(m.before)
}

// quote marks what is in quotes as a whole.
func (m *marker) quote(size int, end rune) {
	if n := strings.IndexRune(m.rest[size:], end); n > 0 {
		m.mark(m.rest[size : size+n])
		size += n + utf8.RuneLen(end)
	}
	m.pass(size)
}

// han marks a negation, or a word that has an opposite.
func (m *marker) han(size int) {
	if strings.ContainsAny(m.rest[:size], hanNegations) {
		m.mark("not")
		m.pass(size)
		return
	}
	for _, o := range hanSenses {
		if strings.HasPrefix(m.rest, o.word) {
			m.mark(o.sense)
			m.pass(len(o.word))
			return
		}
	}
	m.pass(size)
}

// word takes a word of letters, digits and what joins them, such as 2.5, isn't, A100 or foo_bar.
func (m *marker) word() {
	n, shows, upper := 0, m.foreign, 0
	for n < len(m.rest) {
		r, size := utf8.DecodeRuneInString(m.rest[n:])
		after, _ := utf8.DecodeRuneInString(m.rest[n+size:])
		joins := unicode.IsDigit(after) && strings.ContainsRune("_.@,:/-", r) || unicode.IsLetter(after) && !isHan(after) && strings.ContainsRune("'’_.@", r)
		if !unicode.IsDigit(r) && !unicode.Is(unicode.M, r) && (!unicode.IsLetter(r) || isHan(r)) && !joins {
			break
		}
		shows = shows || unicode.IsDigit(r) || strings.ContainsRune("_.@", r)
		if unicode.IsUpper(r) {
			upper++
		}
		n += size
	}
	low := strings.ReplaceAll(strings.ToLower(m.rest[:n]), "’", "'")
	first := m.opening
	m.opening = false
	m.pass(n)
	negates := low == "not" || low == "cannot" || strings.HasSuffix(low, "n't")
	switch {
	case negates:
		m.mark("not")
	case low == "i" || strings.HasPrefix(low, "i'"):
	case shows, upper > 1, upper == 1 && !first: // names, identifiers, addresses, versions
		m.mark(low)
	default:
		m.sense(low)
	}
}

// sense marks a word that says what must not change: a number, one side of a pair of opposites.
func (m *marker) sense(low string) {
	if exact[low] {
		m.mark(low)
		return
	}
	for _, s := range stems[low[0]] {
		if strings.HasPrefix(low, s) {
			m.mark(s)
			return
		}
	}
}

func isHan(r rune) bool {
	const first = 0x1100 // of Hangul; what comes before is none of these
	return r >= first && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// closing are the quotes and what ends them.
var closing = map[rune]rune{'"': '"', '“': '”', '「': '」', '『': '』', '《': '》', '〈': '〉', '`': '`', '«': '»', '„': '“'}

const (
	hanNumerals  = "〇零一二三四五六七八九十百千万亿萬億两兩半几幾"
	hanNegations = "不没沒无無非别別勿未莫否"
)

// exact are English words of numbers, negation, time, order and degree, and negations of its neighbours.
var exact = setOf(`no never none nor neither without nobody nothing nowhere except unless instead than but only
	zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
	twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half double twice once both all any every
	first second third fourth fifth last next previous former latter
	before after until since today tomorrow yesterday now later earlier early late ago
	monday tuesday wednesday thursday friday saturday sunday
	january february march april june july august september october november december
	more less most least fewer above below over under up down out off from left right north south east west
	min max minimum maximum high low higher lower highest lowest big small old new cheap expensive
	he she his her him male female man woman
	true false yes invalid illegal impossible incorrect inactive incomplete
	nicht kein keine keinen keiner nie niemals ohne nein pas jamais sans aucun aucune sin nunca nada sem não nem senza mai bez не нет ни без`)

// stems are how English words begin that have an opposite or are one, by their first letter.
var stems = byFirst(`enabl disabl activat deactivat instal uninstal includ exclud increas decreas import export upload download
	allow forbid forbad deny deni permit prohibit accept reject approv buy bought sell sold open clos start stop begin end creat delet
	remov add subtract login logout send sent receiv borrow lend win won lose lost pass fail grant revok subscrib
	encrypt decrypt lock push pull read writ input output incom expens debit credit paid pay owe join leav hire fire
	un dis non mis anti`)

// hanSenses are Chinese words that have an opposite, those of the same meaning under one sense. Longer ones stand first.
var hanSenses = []struct{ word, sense string }{
	{"开启", "on"},
	{"打开", "on"},
	{"启用", "on"},
	{"激活", "on"},
	{"开通", "on"},
	{"关闭", "off"},
	{"禁用", "off"},
	{"停用", "off"},
	{"关掉", "off"},
	{"注销", "off"},
	{"取消", "off"},
	{"禁止", "forbid"},
	{"允许", "allow"},
	{"拒绝", "reject"},
	{"接受", "accept"},
	{"同意", "accept"},
	{"反对", "reject"},
	{"登录", "login"},
	{"登陆", "login"},
	{"退出", "logout"},
	{"登出", "logout"},
	{"上传", "upload"},
	{"下载", "download"},
	{"导入", "import"},
	{"导出", "export"},
	{"安装", "install"},
	{"卸载", "uninstall"},
	{"增加", "more"},
	{"减少", "less"},
	{"提高", "more"},
	{"降低", "less"},
	{"添加", "add"},
	{"新增", "add"},
	{"删除", "remove"},
	{"移除", "remove"},
	{"购买", "buy"},
	{"出售", "sell"},
	{"买", "buy"},
	{"卖", "sell"},
	{"充值", "pay in"},
	{"提现", "pay out"},
	{"收入", "income"},
	{"支出", "expense"},
	{"入职", "join"},
	{"离职", "leave"},
	{"借出", "lend"},
	{"借入", "borrow"},
	{"发送", "send"},
	{"接收", "receive"},
	{"加密", "encrypt"},
	{"解密", "decrypt"},
	{"今天", "today"},
	{"明天", "tomorrow"},
	{"昨天", "yesterday"},
	{"今年", "this year"},
	{"明年", "next year"},
	{"去年", "last year"},
	{"上午", "before noon"},
	{"下午", "after noon"},
	{"大于", ">"},
	{"小于", "<"},
	{"超过", ">"},
	{"低于", "<"},
	{"高于", ">"},
	{"之前", "before"},
	{"之后", "after"},
	{"前", "before"},
	{"后", "after"},
	{"上", "up"},
	{"下", "down"},
	{"左", "left"},
	{"右", "right"},
	{"东", "east"},
	{"西", "west"},
	{"南", "south"},
	{"北", "north"},
	{"最", "most"},
	{"大", "big"},
	{"小", "small"},
	{"高", "high"},
	{"低", "low"},
	{"多", "many"},
	{"少", "few"},
	{"新", "new"},
	{"旧", "old"},
	{"男", "male"},
	{"女", "female"},
	{"ません", "not"},
	{"ない", "not"},
	{"なく", "not"},
	{"않", "not"},
	{"못", "not"},
	{"从", "from"},
	{"到", "to"},
	{"内", "in"},
	{"外", "out"},
	{"早", "early"},
	{"晚", "late"},
	{"长", "long"},
	{"短", "short"},
	{"真", "true"},
	{"假", "false"},
}

func byFirst(words string) map[byte][]string {
	by := map[byte][]string{}
	for _, w := range strings.Fields(words) {
		by[w[0]] = append(by[w[0]], w)
	}
	return by
}

func setOf(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}
