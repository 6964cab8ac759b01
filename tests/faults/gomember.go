// A member hosted by go-dqlite's app package over TLS. Usage: gomember DIR ADDRESS CERT KEY [JOIN ...]
// Each line of its input is a statement for the database "library"; it answers with a line: what a
// query found in its first column, "done", or "error: ...". At the end of the input it hands over.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"fmt"
	"os"
	"strings"

	"github.com/canonical/go-dqlite/app"
)

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func query(db *sql.DB, statement string) (string, error) {
	rows, err := db.Query(statement)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	found := []string{}
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			return "", err
		}
		found = append(found, value)
	}
	return strings.Join(found, ","), rows.Err()
}

func run(db *sql.DB, statement string) string {
	answer, err := "done", error(nil)
	if strings.HasPrefix(statement, "SELECT") {
		answer, err = query(db, statement)
	} else {
		_, err = db.Exec(statement)
	}
	if err != nil {
		return fmt.Sprint("error: ", err)
	}
	return answer
}

func main() {
	background := context.Background()
	pair, err := tls.LoadX509KeyPair(os.Args[3], os.Args[4])
	check(err)
	pem, err := os.ReadFile(os.Args[3])
	check(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)

	member, err := app.New(
		os.Args[1],
		app.WithAddress(os.Args[2]),
		app.WithCluster(os.Args[5:]),
		app.WithTLS(app.SimpleTLSConfig(pair, pool)))
	check(err)
	check(member.Ready(background))
	db, err := member.Open(background, "library")
	check(err)
	fmt.Println("ready")

	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(run(db, lines.Text()))
	}
	check(db.Close())
	check(member.Handover(background))
	check(member.Close())
}
