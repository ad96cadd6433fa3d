// Google Cloud Storage for tests: fake-gcs-server in memory, behind a translation of three requests of the XML API
// that it does not know: a simple PUT, a copy by header, and a listing that starts after a key.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

var entry = regexp.MustCompile(`(?s)<Contents><Key>(.*?)</Key>.*?</Contents>`)

// Arguments: host:port and the bucket to make.
func main() {
	address, bucket := os.Args[1], os.Args[2]
	server, err := fakestorage.NewServerWithOptions(fakestorage.Options{NoListener: true, PublicHost: address})
	if err != nil {
		panic(err)
	}
	server.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: bucket})
	listener, err := net.Listen("tcp", address)
	if err != nil {
		panic(err)
	}
	fmt.Println("listening")
	panic(http.Serve(listener, translate(server.HTTPHandler())))
}

func translate(known http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bucket, object, isObject := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
		after := r.URL.Query().Get("start-after")
		isPut := r.Method == "PUT" && isObject && r.URL.RawQuery == "" && bucket != "storage" && bucket != "upload"
		switch {
		case r.Method == "GET" && after != "":
			listAfter(known, after, w, r)
		case isPut && r.Header.Get("x-goog-copy-source") != "":
			copyObject(known, bucket, object, w, r)
		case isPut:
			putObject(known, bucket, object, w, r)
		default:
			known.ServeHTTP(w, r)
		}
	})
}

func listAfter(known http.Handler, after string, w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	known.ServeHTTP(answer, r)
	listing := entry.ReplaceAllStringFunc(answer.Body.String(), func(found string) string {
		if html.UnescapeString(entry.FindStringSubmatch(found)[1]) <= after {
			return ""
		}
		return found
	})
	w.WriteHeader(answer.Code)
	w.Write([]byte(listing))
}

func copyObject(known http.Handler, bucket, object string, w http.ResponseWriter, r *http.Request) {
	source, _ := url.PathUnescape(r.Header.Get("x-goog-copy-source"))
	from, name, _ := strings.Cut(strings.TrimPrefix(source, "/"), "/")
	target, _ := url.PathUnescape(object)
	path := fmt.Sprintf("/storage/v1/b/%s/o/%s/rewriteTo/b/%s/o/%s?%s", from, url.PathEscape(name), bucket,
		url.PathEscape(target), condition(r).Encode())
	request, _ := http.NewRequest("POST", path, http.NoBody)
	answer := httptest.NewRecorder()
	known.ServeHTTP(answer, request)
	w.WriteHeader(answer.Code)
	w.Write([]byte("<CopyObjectResult/>"))
}

func putObject(known http.Handler, bucket, object string, w http.ResponseWriter, r *http.Request) {
	name, _ := url.PathUnescape(object)
	query := condition(r)
	query.Set("uploadType", "media")
	query.Set("name", name)
	request, _ := http.NewRequest("POST", "/upload/storage/v1/b/"+bucket+"/o?"+query.Encode(), r.Body)
	request.Header.Set("Content-Type", r.Header.Get("Content-Type"))
	answer := httptest.NewRecorder()
	known.ServeHTTP(answer, request)
	var made struct{ Etag, Generation string }
	json.NewDecoder(bytes.NewReader(answer.Body.Bytes())).Decode(&made)
	w.Header().Set("ETag", `"`+strings.Trim(made.Etag, `"`)+`"`)
	w.Header().Set("x-goog-generation", made.Generation)
	w.WriteHeader(answer.Code)
}

func condition(r *http.Request) url.Values {
	query := url.Values{}
	if generation := r.Header.Get("x-goog-if-generation-match"); generation != "" {
		query.Set("ifGenerationMatch", generation)
	}
	return query
}
