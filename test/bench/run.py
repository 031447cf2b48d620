"""Run the suites that are named; see bench."""
import importlib
import os
import sys

import psycopg

import harness


def main():
    connection = psycopg.connect(host=os.environ["BENCH_HOST"], user="postgres",
                                 dbname="postgres", autocommit=True)
    connection.execute("CREATE EXTENSION rag")
    report = harness.Report(isa="")
    print(harness.Report.head())
    try:
        for suite in sys.argv[1:]:
            importlib.import_module(suite).run(connection, report)
    except harness.LoadedMachine as error:
        sys.exit(f"bench: {error}")
    report.write("bench.json")


main()
