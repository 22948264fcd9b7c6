"""The source of a flow: from the text that its author wrote to a checked flow and its plan, every finding with its position."""
