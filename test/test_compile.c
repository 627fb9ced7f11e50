/*
 * SPDX-License-Identifier: MIT
 *
 * What the compiler must accept and what it must refuse: small programs are
 * given to the compiler that CC names, or to cc.  Each that must not compile
 * stands beside one that must, so that it fails for its own reason.  Without a
 * compiler, or without the headers beside this file, a test says that it was
 * skipped.
 */
#include "fixture.h"

#include <signal.h>

static const char *compiler(void)
{
	const char *const cc = getenv("CC");

	return cc && *cc ? cc : "cc";
}

/* 1 if the text compiles with `flags`, 0 if not, -1 without a compiler. */
static int compiles(const char *flags, const char *text)
{
	char include[512], command[1200];
	const char *const slash = strrchr(__FILE__, '/');
	const int size = slash ? (int)(slash - __FILE__) : 1;
	FILE *f;

	snprintf(include, sizeof(include), "%.*s/../include", size,
		 slash ? __FILE__ : ".");
	snprintf(command, sizeof(command), "test -r '%s/avow.h' && "
		 "command -v %s >/dev/null", include, compiler());
	if (system(command) != 0)
		return -1;
	snprintf(command, sizeof(command),
		 "%s -c -o /dev/null -I'%s' %s -x c - 2>/dev/null", compiler(),
		 include, flags);
	signal(SIGPIPE, SIG_IGN);
	f = popen(command, "w");
	if (!f)
		return -1;
	fputs("#include <avow.h>\n"
	      "#include <stdlib.h>\n"
	      "struct photo { int size; };\n"
	      "int start(void (*fn)(int, void *), void *context);\n"
	      "_Bool start_bool(void (*fn)(int, void *), void *context);\n"
	      "const char *explain(int code);\n"
	      "avow_promise *fetch(avow_loop *loop);\n"
	      "AVOW_CALLBACK(on_code, AVOW_ERR(int, explain),"
	      "              AVOW_CTX(void *));\n"
	      "AVOW_CALLBACK(on_long, AVOW_NUM(long), AVOW_CTX(void *));\n", f);
	fputs(text, f);
	return pclose(f) == 0;
}

/* The first text must compile and the second must not. */
static void compiler_refuses(const char *flags, const char *good,
			     const char *bad)
{
	const int is_good = compiles(flags, good);

	if (is_good < 0) {
		fprintf(stderr, "skipped: there is no compiler (%s), or no "
			"include/avow.h beside this test\n", compiler());
		return;
	}
	ck_assert_msg(is_good == 1, "this should compile: %s", good);
	ck_assert_msg(!compiles(flags, bad), "this should not compile: %s",
		      bad);
}

#define BODY(text) "avow_promise *fetch(avow_loop *loop) {" text "}\n"

FX_TEST_LIMIT(a_context_outside_of_a_call_does_not_compile, 30)
{
	compiler_refuses("-std=gnu11",
		BODY("return AVOW_PROMISIFY(loop,"
		     "		start(on_code, AVOW_CONTEXT));"),
		BODY("int code = start(on_code, AVOW_CONTEXT);"
		     "return code ? 0 : avow_pending(loop);"));
}

FX_TEST_LIMIT(a_start_that_gives_a_bool_does_not_compile_for_zero, 30)
{
	compiler_refuses("-std=gnu11",
		BODY("return AVOW_PROMISIFY_TRUE(loop,"
		     "		start_bool(on_code, AVOW_CONTEXT));"),
		BODY("return AVOW_PROMISIFY(loop,"
		     "		start_bool(on_code, AVOW_CONTEXT));"));
}

FX_TEST_LIMIT(a_callback_of_another_prototype_is_a_diagnostic, 30)
{
	compiler_refuses("-std=gnu11 -Werror",
		BODY("return AVOW_PROMISIFY(loop,"
		     "		start(on_code, AVOW_CONTEXT));"),
		BODY("return AVOW_PROMISIFY(loop,"
		     "		start(on_long, AVOW_CONTEXT));"));
}

FX_TEST_LIMIT(an_awaited_promise_that_is_not_returned_is_a_diagnostic, 30)
{
	compiler_refuses("-std=gnu11 -Wall -Werror",
		"avow_value f(avow_value v, void *p)"
		"{ (void)v; return avow_await(p); }\n",
		"avow_value f(avow_value v, void *p)"
		"{ avow_await(p); return v; }\n");
}

FX_TEST_LIMIT(a_payload_of_more_than_eight_bytes_does_not_compile, 30)
{
	compiler_refuses("-std=gnu11",
		"struct pair { int a, b; };\nAVOW_TYPE(pair, struct pair);\n",
		"struct three { int a, b, c; };\n"
		"AVOW_TYPE(three, struct three);\n");
}

#define STRICT " -Wall -Wextra -Wpedantic -Werror"

FX_TEST_LIMIT(the_macros_compile_as_strict_c99_and_c11, 30)
{
	static const char text[] =
		"void photo_free(struct photo *p);\n"
		"struct place { double x, y; };\n"
		"AVOW_TYPE(photo, struct photo *, photo_free);\n"
		"AVOW_STRUCT(place, struct place);\n"
		"AVOW_DOMAIN(places, explain);\n"
		BODY("avow_promise *p = AVOW_PROMISIFY(loop,"
		     "		start(on_code, AVOW_CONTEXT));"
		     "return avow_on(p, .fulfilled = NULL, .arg = NULL);");

	compiler_refuses("-std=c99" STRICT, text, "syntax error");
	compiler_refuses("-std=c11" STRICT, text, "syntax error");
}

FX_TEST_LIMIT(a_type_declared_and_defined_compiles_as_strict_c99, 30)
{
	static const char text[] =
		"void photo_free(struct photo *p);\n"
		"struct place { double x, y; };\n"
		"AVOW_TYPE_DECLARE(photo, struct photo *);\n"
		"AVOW_STRUCT_DECLARE(place, struct place);\n"
		"AVOW_TYPE(photo, struct photo *, photo_free);\n"
		"AVOW_STRUCT(place, struct place);\n";

	compiler_refuses("-std=c99" STRICT, text, "syntax error");
}

FX_TEST_LIMIT(the_long_form_needs_no_extension, 30)
{
	compiler_refuses("-std=c99" STRICT,
		BODY("avow_call c = avow_begin(loop, \"start\");"
		     "int code = c.is_open ? start(on_code, c.context) : 0;"
		     "return avow_end(c, code == 0, code);"),
		"syntax error");
}

int main(void)
{
	return fx_main("compile");
}
