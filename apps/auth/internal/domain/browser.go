package domain

import "strings"

// brands are the names of browsers by what their User-Agent has; others name themselves, too, so the order matters.
var brands = [][2]string{
	{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"YaBrowser/", "Yandex Browser"},
	{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
}

// systems are the names of systems by what a User-Agent has. Android says Linux, too, and an iPad may say Mac OS X.
var systems = [][2]string{
	{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"CrOS", "ChromeOS"},
	{"Mac OS X", "macOS"}, {"Linux", "Linux"},
}

// Browser says in words what a browser says of itself, e.g. "Firefox on Linux"; "" if that is nothing known.
func Browser(userAgent string) string {
	find := func(names [][2]string) string {
		for _, n := range names {
			if strings.Contains(userAgent, n[0]) {
				return n[1]
			}
		}
		return ""
	}
	brand, system := find(brands), find(systems)
	switch {
	case brand != "" && system != "":
		return brand + " on " + system
	default:
		return brand + system
	}
}
