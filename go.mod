module github.com/tcretry/tcretry

go 1.25.0
