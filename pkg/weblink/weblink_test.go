package weblink_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/weblink"
)

func TestWebAddressesAreRecognized(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"http://evil.example", "HTTPS://EVIL.EXAMPLE/a?b", "You won! www.evil.com", "evil.com", "Claim: bit.ly/3xYz", "ftp://evil.com",
		"Ana (evil.co.uk)", "ｅｖｉｌ.com", "evil。com", "evil．com", "e\u200bvil.c\u200bom", "münchen.de", "xn--mnchen-3ya.de",
		"ana@evil.com", "http://10.0.0.1/a", "name,evil.shop!", "evil.com.Thanks", "Evil.Com", "EVIL.COM", "x.com", "www.evil",
		"10.0.0.1/a", "10.0.0.1", "пример.рф", "evil.ck", "evil.example/x", "ab.de/x", "J.Li/x", "R.do:8080", "J.Li?x",
		// short hosts
		"bit.ly", "goo.gl", "is.gd", "t.co", "wa.me", "g.co", "ab.de", "b.gl", "3.ly", "g.page", "Claim at ab.de", "T.Co", "Wa.Me",
		// schemes
		"tg://resolve?domain=evil", "whatsapp://send?phone=15551234567", "intent://evil", "data:text/html,x", "javascript:alert(1)",
		"http:evil", "HTTP:\\\\evil", "mailto:ana", "unheard-of://x", "tg:resolve",
		// underscores
		"evil_.com/login", "evil.com_/login", "_evil.com_", "evil.com-",
		// look-alikes and spellings
		"evil.сom", "еvіl.соm", "evil.сo", "evil۔com", "evil[.]com", "evil(dot)com", "evil (dot) com", "evil{.}com",
		"evil . com", "evil .com", "evil&#46;com", "evil&period;com", "evil․com", "e\u202evil.com", "evil\u2028.com",
	} {
		require.True(t, weblink.In(text), text)
	}
}

func TestNamesAndAddressLinesAreNotWebAddresses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "Ana", "J. R. R. Tolkien", "J.R. Smith", "Dr. Müller", "St. John", "Sr. José da Silva Jr.", "O'Brien", "Anne-Marie",
		"Rua 7 de Setembro, nº 10. Ap. 2", "1º andar", "c/o Silva", "Apt. 12/3", "São Paulo", "王小明", "محمد", "Vinil & Café",
		"Müller & Söhne GmbH & Co. KG", "No. 5", "2.5 km", "Ateliê Aurora", "A/C Maria", "Ma.de Lourdes", "J.Li", "Dr.med. Weiß",
		// abbreviations without a space
		"Estr.do Sol", "estr.do sol", "R.dos Pinheiros", "Av.de Mayo", "av.de mayo", "AV.DE MAYO", "Str.des 17. Juni", "St.Gallen",
		"Dr.Ana", "R.do Sol, 5", "R.Bom Jesus", "Av.Rio Branco", "R.da Consolação", "Av.La Paz", "Av.la Paz", "Trav.do Carmo",
		"Pça.de Maio", "Pç.da Sé", "Rod.do Açúcar, km 5", "Rod.km 12", "Jd.América", "Jard.do Lago", "Vl.Mariana", "Sta.Maria",
		"Sto.André", "Al.Santos, 100", "Lgo.do Machado", "N.Sra.de Fátima", "Av.D.João II", "R.N.Sra.do Carmo", "Cel.Do Val",
		"Calle.de Alcalá", "Avda.de América", "C.de la Luz", "Str.am Markt", "Whg.Nr 5", "Hausnr.5", "Hauptstr.12",
		"Bahnhofstr.5a", "Dipl.Ing. Weber", "Prof.Dr.med. Weiß", "Dr.med.dent. Weiß", "Fr.Dr.Ing. Groß", "H.No.12-3",
		"Plot.No 4", "plot.no: 4", "Flat.No.7", "P.O.Box 12", "p.o.box 12", "P.O.BOX 12", "ABC Co.Ltd", "Silva Ltda.ME",
		"A.de Souza", "M.A.de Oliveira", "Av.Paris", "Av.Madrid", "G.P.O.Box 5", "Qd.5 Lt.3", "qd.lt 5", "Ed.sl 301", "Sr.Jo",
		"г.Москва", "г.москва, ул.Ленина, д.5", "ул.Мира", "обл.Киевская", "Αγ.Ιωάννης", "Gal·la", "CPF 123.456.789-00",
		"Tel:11999990000", "Data:12/03/2026", "Bloco:B", "Apto:12", "a/c: Ana", "12.1/3", "Stiege 2.5/7", "R. Sol . 5", "n . 5",
		"1.Et. links", "5.OG", "S.p.A.", "e.V.", "d.o.o.", "Ph.D.", "No.5", "Smith & Co.", "Tom & Jerry's", "AT&T", "3<5>2",
	} {
		require.False(t, weblink.In(text), text)
	}
}

// TestRealAddressesAreNotWebAddresses checks the cities of 100,000 customers, and 1,500 shops.
func TestRealAddressesAreNotWebAddresses(t *testing.T) {
	t.Parallel()
	for name, columns := range map[string][]string{
		"olist/customers.csv": {"customer_city"}, "olist/sellers.csv": {"seller_city"},
		"bestbuy/stores.csv": {"name", "address", "address2", "city"},
	} {
		file, err := os.Open(filepath.Join("../../../shared/data", name))
		if os.IsNotExist(err) {
			t.Skip("the real data is not there")
		}
		require.NoError(t, err)
		defer func() { require.NoError(t, file.Close()) }()
		rows, err := csv.NewReader(file).ReadAll()
		require.NoError(t, err)
		seen := map[string]bool{}
		for i, column := range rows[0] {
			for _, want := range columns {
				for _, row := range rows[1:] {
					if column == want && !seen[row[i]] {
						seen[row[i]] = true
						require.Equal(t, strings.Contains(row[i], "@"), weblink.In(row[i]), row[i])
					}
				}
			}
		}
		require.Greater(t, len(seen), 100)
	}
}

func TestReorders(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a\nb", "a\u2028b", "a\u2029b", "a\u0085b", "a\u202eb", "a\u2066b", "a\u200fb"} {
		require.True(t, strings.ContainsFunc(text, weblink.Reorders), "%q", text)
	}
	for _, text := range []string{"Ana Souza", "نام\u200cها", "शर्मा\u200d", "👩\u200d👧", "Zoe\u0301", "a\u00a0b"} {
		require.False(t, strings.ContainsFunc(text, weblink.Reorders), "%q", text)
	}
}
