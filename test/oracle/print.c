/*
 * SPDX-License-Identifier: MIT
 *
 * print.c - a program as JavaScript that runs by itself.
 *
 * Promises are p[number]; the functions that settle them are in s, those of
 * thenables in t.  What is not there is passed over, as it is in the runs.
 */
#include "program.h"

static void print_body(const struct program *program, int body, int indent,
		       FILE *out);

static void print_indent(int indent, FILE *out)
{
	for (int n = 0; n < indent; n++)
		fputs("  ", out);
}

/* A function with the body of operation `i`, up to its result. */
static void print_function(const struct program *program, int i, int indent,
			   FILE *out, const char *head, const char *log);

static void print_value(const struct program *program, int i, int indent,
			FILE *out)
{
	const struct op *const op = &program->ops[i];
	switch ((enum result)op->result) {
	case IS_INT:
		fprintf(out, "%d", i);
		break;
	case IS_PROMISE:
		fprintf(out, "p[%d]", op->arg);
		break;
	case IS_THENABLE:
		fprintf(out, "{ then");
		print_function(program, op->arg, indent, out, "(res, rej)", "");
		fputs(" }", out);
		break;
	case IS_ERROR:
		fprintf(out, "new Failure(%d)", i);
		break;
	case IS_SAME:
	case IS_NONE:
	case RESULTS:
		fputs("undefined", out);
		break;
	}
}

static void print_return(const struct program *program, int i, int indent,
			 FILE *out)
{
	const struct op *const op = &program->ops[i];
	if (op->kind == OP_POST || op->result == IS_NONE ||
	    (op->result == IS_SAME && op_keeps(op)))
		return;
	print_indent(indent, out);
	if (op->result == IS_SAME) {
		const bool throws = op->kind == OP_CATCH ||
				    op->kind == OP_CATCH_CODE;
		fputs(throws ? "throw v;\n" : "return v;\n", out);
		return;
	}
	fputs(op->result == IS_ERROR ? "throw " : "return ", out);
	print_value(program, i, indent, out);
	fputs(";\n", out);
}

static void print_function(const struct program *program, int i, int indent,
			   FILE *out, const char *head, const char *log)
{
	fprintf(out, "%s {\n", head);
	print_indent(indent + 1, out);
	fprintf(out, "log(%d%s);\n", i, log);
	if (program->ops[i].kind == OP_THENABLE) {
		print_indent(indent + 1, out);
		fprintf(out, "t[%d] = [res, rej];\n", i);
	}
	print_body(program, i, indent + 1, out);
	print_return(program, i, indent + 1, out);
	print_indent(indent, out);
	fputc('}', out);
}

static void print_settle(const struct program *program, int i, int indent,
			 FILE *out)
{
	const struct op *const op = &program->ops[i];
	fprintf(out, "%c[%d]?.[%d](", op->kind == OP_GIVE ? 't' : 's', op->of,
		op->result == IS_ERROR);
	print_value(program, i, indent, out);
	fputs(");", out);
}

static void print_attach(const struct program *program, int i, int indent,
			 FILE *out)
{
	static const char *const names[KINDS] = {
		[OP_THEN] = "then",	   [OP_CATCH] = "catch",
		[OP_BOTH] = "then",	   [OP_FINALLY] = "finally",
		[OP_TAP] = "then",	   [OP_TAP_CATCH] = "catch",
		[OP_CATCH_CODE] = "catch", [OP_PASS] = "then"
	};
	const struct op *const op = &program->ops[i];
	fprintf(out, "p[%d] = p[%d]?.%s(", i, op->of, names[op->kind]);
	if (op->kind == OP_BOTH)
		fputs("...both(", out);
	if (op->kind == OP_TAP || op->kind == OP_TAP_CATCH)
		fprintf(out, "tap(%d, ", op->kind == OP_TAP_CATCH);
	if (op->kind == OP_CATCH_CODE)
		fprintf(out, "only(%d, ", op->count);
	if (op->kind == OP_FINALLY)
		print_function(program, i, indent, out, "() =>", "");
	else if (op->kind != OP_PASS)
		print_function(program, i, indent, out, "v =>", ", v");
	const bool is_wrapped = op->kind == OP_BOTH || op->kind == OP_TAP ||
				op->kind == OP_TAP_CATCH ||
				op->kind == OP_CATCH_CODE;
	fputs(is_wrapped ? "));" : ");", out);
}

static void print_list(const struct op *op, int i, FILE *out)
{
	static const char *const names[KINDS] = { [OP_ALL] = "all",
						  [OP_ALL_SETTLED] =
							  "allSettled",
						  [OP_ANY] = "any",
						  [OP_RACE] = "race" };
	fprintf(out, "p[%d] = Promise.%s([", i, names[op->kind]);
	const char *comma = "";
	for (int n = 0; n < op->count; n++) {
		if (op->list[n] < 0)
			continue;
		fprintf(out, "%sp[%d]", comma, op->list[n]);
		comma = ", ";
	}
	fputs(op->count ? "].filter(Boolean));" : "]);", out);
}

static void print_op(const struct program *program, int i, int indent,
		     FILE *out)
{
	const struct op *const op = &program->ops[i];
	if (op->kind == OP_NOTHING || op->kind == OP_THENABLE)
		return;
	print_indent(indent, out);
	if (op->kind == OP_PENDING) {
		fprintf(out, "p[%d] = new Promise((...f) => { s[%d] = f; });",
			i, i);
	} else if (op->kind == OP_RESOLVED) {
		fprintf(out, "p[%d] = new Promise((res, rej) => %s(", i,
			op->result == IS_ERROR ? "rej" : "res");
		print_value(program, i, indent, out);
		fputs("));", out);
	} else if (op->kind == OP_REJECTED) {
		fprintf(out, "p[%d] = Promise.reject(new Failure(%d));", i, i);
	} else if (op->kind == OP_RESOLVE || op->kind == OP_REJECT ||
		   op->kind == OP_GIVE) {
		print_settle(program, i, indent, out);
	} else if (op_is_list(op)) {
		print_list(op, i, out);
	} else if (op->kind == OP_POST) {
		fputs("queueMicrotask(", out);
		print_function(program, i, indent, out, "() =>", "");
		fputs(");", out);
	} else if (op->kind == OP_LADDER) {
		fprintf(out, "ladder(%d, %d);", i, op->count);
	} else {
		print_attach(program, i, indent, out);
	}
	fputc('\n', out);
}

static void print_body(const struct program *program, int body, int indent,
		       FILE *out)
{
	for (int i = 0; i < program->count; i++) {
		if (program->ops[i].where == body)
			print_op(program, i, indent, out);
	}
}

static bool program_uses(const struct program *program, enum kind kind)
{
	for (int i = 0; i < program->count; i++) {
		if (program->ops[i].kind == (int)kind)
			return true;
	}
	return false;
}

void program_print(const struct program *program, FILE *out)
{
	fputs("class Failure { constructor(code) { this.code = code; } }\n"
	      "const p = [], s = [], t = [];\n"
	      "const log = (...event) => console.log(...event);\n",
	      out);
	if (program_uses(program, OP_BOTH))
		fputs("const both = f => [f, e => { const v = f(e); "
		      "if (v === e) throw e; return v; }];\n",
		      out);
	if (program_uses(program, OP_TAP) ||
	    program_uses(program, OP_TAP_CATCH))
		fputs("const tap = (isError, f) => x => Promise.resolve(f(x))"
		      ".then(() => { if (isError) throw x; return x; });\n",
		      out);
	if (program_uses(program, OP_CATCH_CODE))
		fputs("const only = (code, f) => e => { "
		      "if (e.code !== code) throw e; return f(e); };\n",
		      out);
	if (program_uses(program, OP_LADDER))
		fputs("const ladder = (i, n) => { let l = Promise.resolve(); "
		      "for (let k = 0; k < n; k++) "
		      "l = l.then(() => log(i, k)); };\n",
		      out);
	for (int turn = 0; turn < TURNS; turn++) {
		bool is_empty = true;
		for (int i = 0; i < program->count; i++)
			is_empty &= program->ops[i].where != -1 - turn ||
				    program->ops[i].kind == OP_NOTHING;
		if (is_empty)
			continue;
		if (turn)
			fprintf(out, "setTimeout(() => {\n");
		print_body(program, -1 - turn, turn ? 1 : 0, out);
		if (turn)
			fprintf(out, "}, %d);\n", 10 * turn);
	}
}
