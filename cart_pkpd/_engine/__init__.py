"""From equations to compiled solvers: symbolic expressions, generated code, kernels, operations.

Nothing here knows of models, patients or fits: a :class:`~cart_pkpd._engine.program.Program`
of expressions comes in, arrays and PyTensor operations go out.
"""
