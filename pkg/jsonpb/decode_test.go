package jsonpb_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	orderv1 "souk/gen/go/souk/order/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/jsonpb"
	"souk/pkg/jsonpb/internal/kinds"
)

func TestDecodeAcceptsBothNamesOfAField(t *testing.T) {
	t.Parallel()
	var m orderv1.CheckoutRequest
	body := `{"shippingAddress":{"name":"Ana","postal_code":"1"},"voucherCodes":["A","B"],"email":null}` + "\n"
	require.NoError(t, jsonpb.Marshaler{}.NewDecoder(strings.NewReader(body)).Decode(&m))
	require.Equal(t, "Ana", m.GetShippingAddress().GetName())
	require.Equal(t, "1", m.GetShippingAddress().GetPostalCode())
	require.Equal(t, []string{"A", "B"}, m.GetVoucherCodes())
}

func TestDecodeOfEmptyBodyReturnsEOF(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", " \r\n\t"} {
		err := jsonpb.Marshaler{}.NewDecoder(strings.NewReader(body)).Decode(&orderv1.CheckoutRequest{})
		require.ErrorIs(t, err, io.EOF)
	}
}

func TestDecodeErrorNamesTheInvalidField(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 5000)
	tests := map[string]struct {
		body    string
		path    string
		message string
	}{
		"unknown field":        {`{"colour":"red"}`, "colour", "there is no such field"},
		"unknown, nested":      {`{"times":[],"nested":{"inner":{"x":1}}}`, "nested.inner.x", "there is no such field"},
		"unknown, huge":        {`{"` + long + `":1}`, strings.Repeat("é", 32) + "…", "there is no such field"},
		"twice":                {`{"color":1,"boolValue":true,"color":2}`, "color", "is given twice"},
		"twice, by both names": {`{"boolValue":true,"bool_value":true}`, "boolValue", "is given twice"},
		"two of a oneof": {
			`{"choiceString":"a","choiceBytes":""}`,
			"choiceBytes",
			"only one field of choice may be given",
		},
		"string for an integer": {`{"int32Value":"` + long + `"}`, "int32Value", "must be an integer of 32 bits"},
		"too big":               {`{"int32Value":3000000000}`, "int32Value", "must be an integer of 32 bits"},
		"fraction":              {`{"int64Value":1.5}`, "int64Value", "must be an integer of 64 bits"},
		"negative":              {`{"uint64Value":-1}`, "uint64Value", "must be an integer of 64 bits, not negative"},
		"number for a string":   {`{"renamed":1}`, "renamed", "must be a string"},
		"renamed":               {`{"stringValue":"a"}`, "stringValue", "there is no such field"},
		"string for a bool":     {`{"boolValue":"true"}`, "boolValue", "must be true or false"},
		"not a number":          {`{"doubleValue":"x"}`, "doubleValue", "must be a number"},
		"not base64":            {`{"bytesValue":"!"}`, "bytesValue", "must be a string in base64"},
		"unknown enum value":    {`{"color":"COLOR_MAUVE"}`, "color", "must be the name of a value of Color"},
		"not an object":         {`{"nested":[]}`, "nested", "must be an object"},
		"not a list":            {`{"bools":{}}`, "bools", "must be a list"},
		"in a list":             {`{"bools":[true,0]}`, "bools[1]", "must be true or false"},
		"null in a list":        {`{"bools":[null]}`, "bools[0]", "must be true or false"},
		"in a list of messages": {`{"nesteds":[{},{"name":{}}]}`, "nesteds[1].name", "must be a string"},
		"time":                  {`{"times":["2026-01-01"]}`, "times[0]", `must be a time like "2026-01-31T13:45:00Z"`},
		"duration":              {`{"duration":"1m"}`, "duration", `must be a duration in seconds like "1.5s"`},
		"not a map":             {`{"byString":[]}`, "byString", "must be an object"},
		"in a map":              {`{"byString":{"a":{},"b":{"name":1}}}`, "byString.b.name", "must be a string"},
		"map key twice":         {`{"byString":{"a":{},"a":{}}}`, "byString.a", "is given twice"},
		"wrapper":               {`{"wrapped":1}`, "wrapped", "must be a valid StringValue"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := jsonpb.Marshaler{}.Unmarshal([]byte(tt.body), &kinds.Kinds{})
			var e *errs.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, errs.Invalid, e.Code)
			require.Equal(t, []errs.Field{{Path: tt.path, Message: tt.message}}, e.Fields)
			require.Equal(t, tt.path+": "+tt.message, e.Message)
			require.Equal(t, "invalid_argument: "+e.Message, e.Error(), "no cause: it would repeat the input in logs")
		})
	}
}

func TestDecodeRefusesBodyThatIsNotAJSONObject(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body    string
		message string
	}{
		"truncated":     {`{"name":`, "the body is not valid JSON, at byte 8"},
		"trailing":      {`{} {}`, "the body is not valid JSON, at byte 4"},
		"not JSON":      {`name=x`, "the body is not valid JSON, at byte 2"},
		"not UTF-8":     {"{\"reason\":\"\xff\"}", "the body is not valid UTF-8"},
		"not an object": {`[1]`, "the body must be an object"},
		"null":          {`null`, "the body must be an object"},
		"too deep":      {strings.Repeat("[", 20000), "the body is not valid JSON, at byte 10001"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := jsonpb.Marshaler{}.NewDecoder(strings.NewReader(tt.body)).Decode(&orderv1.CancelOrderRequest{})
			var e *errs.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, errs.Invalid, e.Code)
			require.Equal(t, tt.message, e.Message)
		})
	}
}

func TestDecodeRefusesBodyAboveTheLimit(t *testing.T) {
	t.Parallel()
	body := http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(strings.NewReader(`{"reason":"long"}`)), 8)
	err := jsonpb.Marshaler{}.NewDecoder(body).Decode(&orderv1.CancelOrderRequest{})
	require.True(t, errs.Is(err, errs.TooLarge), err)
	require.Contains(t, errs.From(err).Message, "8 bytes")
}

func TestDecodeRefusesBodyThatEndsEarly(t *testing.T) {
	t.Parallel()
	err := jsonpb.Marshaler{}.NewDecoder(io.MultiReader(strings.NewReader("{"), brokenReader{})).
		Decode(&orderv1.CancelOrderRequest{})
	require.True(t, errs.Is(err, errs.Invalid), err)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestUnmarshalDecodesFieldsOfMessages(t *testing.T) {
	t.Parallel()
	var images []*productv1.Image
	require.NoError(t, jsonpb.Marshaler{}.Unmarshal([]byte(`[{"url":"a"}]`), &images))
	require.Equal(t, "a", images[0].GetUrl())

	var n int32
	err := jsonpb.Marshaler{}.Unmarshal([]byte(`"x"`), &n)
	require.True(t, errs.Is(err, errs.Invalid), err)
}

func TestMarshalAndEncoderWriteTheSameJSON(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		value any
		want  string
	}{
		"message":            {&productv1.Image{Url: "u"}, `{"url":"u","alt":""}`},
		"nil message":        {(*productv1.Image)(nil), `{"url":"","alt":""}`},
		"messages":           {[]*productv1.Image{{}, nil}, `[{"url":"","alt":""},{"url":"","alt":""}]`},
		"no messages":        {[]*productv1.Image(nil), `[]`},
		"strings":            {[]string{"a", "b"}, `["a","b"]`},
		"no strings":         {[]string(nil), `[]`},
		"string":             {"<a>", `"\u003ca\u003e"`},
		"enum":               {kinds.Color_COLOR_RED, `"COLOR_RED"`},
		"result of a stream": {map[string]any{"result": &productv1.Image{}}, `{"result":{"url":"","alt":""}}`},
		"nothing":            {nil, `null`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := jsonpb.Marshaler{}.Marshal(tt.value)
			require.NoError(t, err)
			require.Equal(t, tt.want, string(got))

			var w strings.Builder
			require.NoError(t, jsonpb.Marshaler{}.NewEncoder(&w).Encode(tt.value))
			require.Equal(t, tt.want+"\n", w.String())
		})
	}
}

func TestMarshalResultIsNotReused(t *testing.T) {
	t.Parallel()
	first, err := jsonpb.Marshaler{}.Marshal(&productv1.Image{Url: "first"})
	require.NoError(t, err)
	for range 100 {
		_, err := jsonpb.Marshaler{}.Marshal(&productv1.Image{Url: "later"})
		require.NoError(t, err)
	}
	require.Equal(t, `{"url":"first","alt":""}`, string(first))
}

func TestMarshalRefusesTextThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	_, err := jsonpb.Marshaler{}.Marshal([]*productv1.Image{{Url: "\xff"}})
	require.Error(t, err)
	require.Error(t, jsonpb.Marshaler{}.NewEncoder(io.Discard).Encode(&productv1.Image{Url: "\xff"}))
}

func TestRequestErrorKeepsTheCodeAndHidesTheInput(t *testing.T) {
	t.Parallel()
	require.NoError(t, jsonpb.RequestError(nil))

	coded := errs.New(errs.TooLarge, "too large")
	require.Equal(t, coded, jsonpb.RequestError(coded))

	e := errs.From(
		jsonpb.RequestError(errors.New(`parsing field "page_size": strconv.ParseInt: parsing "x": invalid syntax`)),
	)
	require.Equal(t, errs.Invalid, e.Code)
	require.Equal(t, []errs.Field{{Path: "pageSize", Message: "does not have the right form"}}, e.Fields)

	e = errs.From(jsonpb.RequestError(errors.New("secret")))
	require.Equal(t, errs.Invalid, e.Code)
	require.NotContains(t, e.Message, "secret")
}

// A megabyte of empty objects takes a hundred megabytes in memory, and a second to find the invalid one.
func TestDecodeRefusesTooManyValues(t *testing.T) {
	t.Parallel()
	decode := func(body string) error {
		return jsonpb.Marshaler{}.NewDecoder(strings.NewReader(body)).Decode(&orderv1.CheckoutRequest{})
	}
	err := decode(`{"voucherCodes":[` + strings.Repeat(`"",`, 60_000) + `""]}`)
	require.Equal(t, errs.Invalid, errs.CodeOf(err))
	require.ErrorContains(t, err, "more than 50000 values")
	require.NoError(t, decode(`{"voucherCodes":["`+strings.Repeat(`,[{\"`, 60_000)+`"]}`), "text may hold anything")
	require.NoError(t, decode(`{"voucherCodes":[`+strings.Repeat(`"", `, 40_000)+`""]}`))
}

func TestUpdateMaskIsWhatTheBodyNames(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][]string{
		`{"tags":[],"title":"A"}`:                 {"tags", "title"},
		`{"category_id":null,"images":[]}`:        {"category_id", "images"},
		`{"tags":[],"updateMask":"title,images"}`: {"title", "images"},
		`{}`: nil,
	} {
		var m productv1.UpdateProductRequest
		require.NoError(t, jsonpb.Marshaler{}.Unmarshal([]byte(body), &m), body)
		require.Equal(t, want, m.GetUpdateMask().GetPaths(), body)
	}
	var m productv1.CreateProductRequest
	require.NoError(t, jsonpb.Marshaler{}.Unmarshal([]byte(`{"tags":[]}`), &m))
}
