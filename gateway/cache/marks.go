package cache

import (
	"cmp"
	"slices"
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
	for _, s := range hanSenses[m.rest[:size]] {
		if strings.HasPrefix(m.rest, s.word) {
			m.mark(s.means)
			m.pass(len(s.word))
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

// hanSenses are Chinese words that have an opposite, a line a meaning, and negations of Japanese and Korean; by their first letter, longer
// ones first.
var hanSenses = senses(`
	on 开启 打开 启用 激活 开通
	off 关闭 关掉 禁用 停用 注销 取消
	forbid 禁止
	allow 允许
	accept 接受 同意
	reject 拒绝 反对
	login 登录 登陆
	logout 退出 登出
	upload 上传
	download 下载
	import 导入
	export 导出
	install 安装
	uninstall 卸载
	more 增加 提高
	less 减少 降低
	add 添加 新增
	remove 删除 移除
	buy 购买 买
	sell 出售 卖
	pay-in 充值
	pay-out 提现
	income 收入
	expense 支出
	join 入职
	leave 离职
	lend 借出
	borrow 借入
	send 发送
	receive 接收
	encrypt 加密
	decrypt 解密
	today 今天
	tomorrow 明天
	yesterday 昨天
	this-year 今年
	next-year 明年
	last-year 去年
	before-noon 上午
	after-noon 下午
	> 大于 高于 超过
	< 小于 低于
	before 之前 前
	after 之后 后
	up 上
	down 下
	left 左
	right 右
	east 东
	west 西
	south 南
	north 北
	most 最
	big 大
	small 小
	high 高
	low 低
	many 多
	few 少
	new 新
	old 旧
	male 男
	female 女
	from 从
	to 到
	in 内
	out 外
	early 早
	late 晚
	long 长
	short 短
	true 真
	false 假
	not ません ない なく 않 못`)

type sense struct{ word, means string }

func senses(lines string) map[string][]sense {
	by := map[string][]sense{}
	for line := range strings.Lines(lines) {
		words := strings.Fields(line)
		for i := 1; i < len(words); i++ {
			first := firstOf(words[i])
			by[first] = append(by[first], sense{words[i], words[0]})
		}
	}
	for _, of := range by {
		slices.SortFunc(of, func(a, b sense) int { return cmp.Compare(len(b.word), len(a.word)) })
	}
	return by
}

// firstOf is the first letter of a text.
func firstOf(text string) string {
	_, size := utf8.DecodeRuneInString(text)
	return text[:size]
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
