"""The contracts read without running them: rules over the compiler's tree, golden surfaces, known faults."""
