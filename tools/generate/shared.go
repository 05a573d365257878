package main

import (
	"net/http"
	"strings"

	"souk/pkg/errs"
)

// This file holds the parts of the OpenAPI document that do not come from a contract.

var documentInfo = object{
	"title":   "souk",
	"version": "1.0.0",
	"description": "Multi-vendor marketplace: catalogue, carts, checkout, orders and shops.\n\n" +
		"Errors are problems (RFC 9457). Programs act on their `code`, which never changes.\n\n" +
		"Lists are read page by page: a list's `nextPageToken` is the next request's `pageToken`, and empty on the last page.\n\n" +
		"64-bit integers are strings in answers; requests may send numbers or strings. A request with an unknown field is refused.",
	"contact": object{"name": "The developers of souk"},
	"license": object{"name": "Apache License 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
}

var securitySchemes = object{
	"bearerAuth": object{
		"type":        "http",
		"scheme":      "bearer",
		"description": "An access token of the sign-in provider, or the token of a guest (POST /v1/guest).",
	},
	"sessionCookie": object{
		"type": "apiKey", "in": "cookie", "name": "souk_session",
		"description": "The session of a browser that signed in at /auth/login. With https the cookie is called " +
			"__Host-souk_session.",
	},
}

var sharedHeaders = object{
	"ETag": object{
		"description": "Version of the answer, for If-None-Match and, if it is a product, for If-Match.",
		"schema":      object{"type": "string", "examples": []any{`"5f2d8c11"`}},
	},
	"Location": object{
		"description": "Path of what was made.",
		"schema":      object{"type": "string", "examples": []any{"/v1/orders/ord_0198c5f27e6b7c1f8a3d5e9b04c7d21a"}},
	},
	"IdempotentReplayed": object{
		"description": "true: this is the answer to the first request with the same Idempotency-Key.",
		"schema":      object{"type": "string", "enum": []string{"true"}, "examples": []any{"true"}},
	},
	"RetryAfter": object{
		"description": "Seconds after which to try again.",
		"schema":      object{"type": "integer", "minimum": 0, "examples": []any{1}},
	},
	"Age": object{
		"description": "Seconds since the answer was made, if a service is unavailable and the answer is an old one.",
		"schema":      object{"type": "integer", "minimum": 0, "examples": []any{12}},
	},
	"Warning": object{
		"description": "Set if the answer is an old one because a service is unavailable.",
		"schema":      object{"type": "string", "examples": []any{`110 - "Response is Stale"`}},
	},
	"Vary": object{
		"description": "Request headers that the answer depends on.",
		"schema":      object{"type": "string", "examples": []any{"Accept-Encoding"}},
	},
	"SetCookie": object{
		"description": "A cookie of the sign-in: of the session, of the guest, or of the sign-in's state.",
		"schema": object{
			"type":     "string",
			"examples": []any{"souk_session=9d0e0a6f6a1f8f11; Path=/; HttpOnly; SameSite=Lax"},
		},
	},
	"WWWAuthenticate": object{
		"description": "How to authenticate.",
		"schema":      object{"type": "string", "examples": []any{`Bearer realm="souk"`}},
	},
}

// headers returns the headers of a response, each of which is one of sharedHeaders.
func headers(names ...string) object {
	all := object{}
	for _, name := range names {
		all[name] = object{"$ref": "#/components/headers/" + strings.ReplaceAll(name, "-", "")}
	}
	return all
}

var sharedParameters = object{
	"RequiredIdempotencyKey": idempotencyKey(true),
	"IdempotencyKey":         idempotencyKey(false),
	"IfMatch": object{
		"name":     "If-Match",
		"in":       "header",
		"required": false,
		"schema":   object{"type": "string", "maxLength": 1000},
		"description": "ETags of the versions that may be changed, also weak ones: 412 if it has changed since. Without it, any " +
			"version is.",
		"example": `"5f2d8c11"`,
	},
	"IfNoneMatch": object{
		"name": "If-None-Match", "in": "header", "required": false,
		"schema":      object{"type": "string"},
		"description": "The ETag of the client's copy: 304 if it is up to date.",
		"example":     `"5f2d8c11"`,
	},
}

func idempotencyKey(required bool) object {
	return object{
		"name":     "Idempotency-Key",
		"in":       "header",
		"required": required,
		"schema":   object{"type": "string", "minLength": 1, "maxLength": 255},
		"description": "Names this request, for example a random UUID. A repetition with the same key and body gets the first " +
			"answer again, with the header Idempotent-Replayed: true.",
		"example": "2f1c1c0e-5f0b-4c59-9d0e-0a6f6a1f8f11",
	}
}

// sharedProblem is a response that operations have in common.
type sharedProblem struct {
	name  string
	codes []errs.Code
}

var sharedProblems = map[int]sharedProblem{
	http.StatusBadRequest:            {"BadRequest", []errs.Code{errs.Invalid}},
	http.StatusUnauthorized:          {"Unauthenticated", []errs.Code{errs.Unauthenticated}},
	http.StatusForbidden:             {"Forbidden", []errs.Code{errs.Forbidden}},
	http.StatusNotFound:              {"NotFound", []errs.Code{errs.NotFound}},
	http.StatusRequestEntityTooLarge: {"TooLarge", []errs.Code{errs.TooLarge}},
	http.StatusTooManyRequests:       {"RateLimited", []errs.Code{errs.RateLimited}},
	http.StatusInternalServerError:   {"Internal", []errs.Code{errs.Internal}},
	http.StatusServiceUnavailable:    {"Unavailable", []errs.Code{errs.Overloaded, errs.Unavailable}},
}

// problemObject describes an error response.
func problemObject(status int, codes []errs.Code, headers object) object {
	var names []string
	for _, c := range codes {
		names = append(names, string(c))
	}
	response := object{
		"description": http.StatusText(status) + ": `" + strings.Join(names, "`, `") + "`.",
		"content": object{"application/problem+json": object{
			"schema": object{"$ref": "#/components/schemas/Problem"},
			"example": object{
				"type": "https://souk.dev/problems/" + names[0], "title": http.StatusText(status), "status": status,
				"detail": "what went wrong, in words", "code": names[0], "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
			},
		}},
	}
	if len(headers) > 0 {
		response["headers"] = headers
	}
	return response
}

func text(description string, example any) object {
	return object{"type": "string", "description": description, "examples": []any{example}}
}

// problemSchema describes the body of every error response.
func problemSchema() object {
	return object{
		"type":        "object",
		"description": "What went wrong (RFC 9457).",
		"required":    []string{"code", "detail", "status", "title", "type"},
		"properties": object{
			"type":  text("URI of the kind of problem.", "https://souk.dev/problems/out_of_stock"),
			"title": text("The kind of problem, for people.", "Conflict"),
			"status": object{
				"type":        "integer",
				"description": "The HTTP status.",
				"minimum":     400,
				"maximum":     599,
				"examples":    []any{409},
			},
			"detail": text("This problem, for people.", "an item is out of stock"),
			"code": text(
				"The kind of problem, for programs. It never changes. New codes may come, so programs need a default.",
				"out_of_stock",
			),
			"traceId": text("Names the request in souk's logs and traces.", "4bf92f3577b34da6a3ce929d0e0e4736"),
			"errors": object{
				"type":        "array",
				"description": "Fields of the request that are wrong.",
				"items":       object{"$ref": "#/components/schemas/FieldProblem"},
				"examples": []any{
					[]any{
						object{
							"field":   "shippingAddress.countryCode",
							"message": "must be a country code of two capital letters such as BR",
						},
					},
				},
			},
		},
	}
}

func fieldProblemSchema() object {
	return object{
		"type":        "object",
		"description": "What is wrong with one field of the request.",
		"required":    []string{"field", "message"},
		"properties": object{
			"field": text("JSON path of the field.", "shippingAddress.countryCode"),
			"message": text(
				"What the field must be, for people.",
				"must be a country code of two capital letters such as BR",
			),
			"reason": text("What is wrong, for programs. Some codes have reasons, such as voucher_invalid.", "used_up"),
		},
	}
}
