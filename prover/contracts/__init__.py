"""The law as it is deployed: the referee, its families, their artifacts, and a deployed rollup."""
