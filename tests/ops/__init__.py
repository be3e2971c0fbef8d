"""The op harness: samples per family, and the checks that every op of the registry passes."""
