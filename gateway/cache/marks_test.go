package cache

import (
	"strings"
	"testing"
)

func TestMarks_PairsThatMustDiffer(t *testing.T) {
	for _, pair := range [][2]string{
		{"Can I return the shoes after 14 days?", "Can I return the shoes after 30 days?"},
		{"What is 1.5 kg in pounds?", "What is 15 kg in pounds?"},
		{"Is 5 > 3?", "Is 5 < 3?"},
		{"Add 5% tax", "Add 5 $ tax"},
		{"three nights please", "four nights please"},
		{"Is the gift card refundable?", "Is the gift card not refundable?"},
		{"It works", "It doesn’t work"},
		{"May I pay with cash?", "May I pay without cash?"},
		{"How do I enable two-factor login?", "How do I disable two-factor login?"},
		{"Are paid invoices listed?", "Are unpaid invoices listed?"},
		{"Who is the manager of Anna Schmidt?", "Who is the manager of Peter Schmidt?"},
		{"How do I install Redis on Debian?", "How do I install Nginx on Debian?"},
		{"Flights from Paris to London", "Flights from London to Paris"},
		{"what does foo_bar do?", "what does foo_baz do?"},
		{"open readme.md", "open readme.txt"},
		{"translate \"good day\"", "translate \"good night\""},
		{"does the meeting begin today?", "does the meeting begin tomorrow?"},
		{"这件商品支持七天无理由退货吗？", "这件商品支持三十天无理由退货吗？"},
		{"订单12345什么时候发货？", "订单12354什么时候发货？"},
		{"订单１２３什么时候发货？", "订单124什么时候发货？"},
		{"这个套餐包含技术支持吗？", "这个套餐不包含技术支持吗？"},
		{"如何开启双重验证？", "如何关闭双重验证？"},
		{"如何安装Redis？", "如何安装nginx？"},
		{"翻译“早上好”", "翻译“晚上好”"},
		{"我可以买黄金吗", "我可以卖黄金吗"},
		{"今天营业吗", "明天营业吗"},
		{"Geht das mit Karte?", "Geht das nicht mit Karte?"},
	} {
		if marks(pair[0]) == marks(pair[1]) {
			t.Errorf("%q and %q have the same marks %q", pair[0], pair[1], marks(pair[0]))
		}
	}
}

func TestMarks_PairsThatMayBeCompared(t *testing.T) {
	for _, pair := range [][2]string{
		{"How do I reset my password?", "How can I reset my password?"},
		{"How do I reset my password?", "I forgot my password, how do I reset it?"},
		{"How long does shipping take?", "What is the delivery time?"},
		{"Can I return the shoes within 14 days?", "Am I able to return shoes within 14 days?"},
		{"It isn't here", "it’s not here"},
		{"Where is Berlin?", "where can I find Berlin"},
		{"怎么重置密码？", "如何重置密码？"},
		{"运费是多少？", "快递费要多少钱？"},
		{"我想申请退款", "怎么申请退款？"},
		{"怎么打开双重验证", "如何开启双重验证？"},
		{"订单１２３怎么样了", "订单123什么情况"},
	} {
		if marks(pair[0]) != marks(pair[1]) {
			t.Errorf("%q has %q, %q has %q", pair[0], marks(pair[0]), pair[1], marks(pair[1]))
		}
	}
}

// FuzzMarks: every text has an end, and blanks around it or a mark behind it do what they must.
func FuzzMarks(f *testing.F) {
	for _, text := range []string{"from Paris to 2.5 \"x", "不是 A-1 '’", "١٢٣ Ⅷ ½ ￥５", "\xff-1", "a@b.c/../d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := marks(" " + text + " "); got != marks(text) {
			t.Errorf("%q with blanks: %q, without %q", text, got, marks(text))
		}
		if strings.ContainsAny(text, "\"“「『《〈`«„") { // may hold what follows
			return
		}
		if marks(text+" 7\n") == marks(text) {
			t.Errorf("the number behind %q is not seen", text)
		}
	})
}

func BenchmarkMarks(b *testing.B) {
	text := strings.Repeat("How do I return 3 pairs of shoes to Berlin? ", 48)[:2<<10]
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		marks(text)
	}
}
