# rag: in-database RAG for PostgreSQL
#
#   make            build the extension module and rag-engine
#   make install    install into the PostgreSQL of PG_CONFIG
#   make install-vector   also the extension "vector", in the place of pgvector
#   make demo       run the whole pipeline on a private server (see README.md)
#   make test       run every test on private servers
#   make bench      compare with the peers (SUITE=pipeline|vector|serving|all)
#   make CUDA=1     with rag_cuda.so, models on a GPU (see cuda/README.md)
#
# PG_CONFIG=/path/to/pg_config chooses the PostgreSQL to build for.

.DEFAULT_GOAL := all

EXTENSION = rag
MODULE_big = rag
DATA_built = $(patsubst %,build/%,$(wildcard sql/rag--*.sql))

PG_CONFIG ?= $(firstword $(shell command -v pg_config) \
	$(shell ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -V | tail -n 1) pg_config)

# ---------------------------------------------------------------------------
# Targets that work before anything is installed: they install what is missing
# and run make again.
# ---------------------------------------------------------------------------
BOOTSTRAP = demo demo-stop test bench deps

ifneq ($(filter $(BOOTSTRAP),$(MAKECMDGOALS)),)

.PHONY: $(BOOTSTRAP)
deps:
	@test/tools/deps build
demo:
	@test/tools/deps demo
	@test/demo/demo start
demo-stop:
	@test/demo/demo stop
test:
	@test/tools/deps test
	@test/tools/run-tests
bench:
	@test/tools/deps bench
	@test/bench/bench $(or $(SUITE),all)

else

# ---------------------------------------------------------------------------
# Plain C rooms: compiled without the server's include directory, into $(BUILD).
# SANITIZE=address,undefined (or thread) builds a second tree beside the first.
# A file's name ends in the instruction set that it is compiled for.
# ---------------------------------------------------------------------------
SANITIZE ?=
BUILD ?= build$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))/plain
comma := ,

PLAIN_CC ?= $(or $(RAG_CC),gcc)
PLAIN_CFLAGS = -std=c11 -O3 -g -fPIC -fvisibility=hidden -pthread -fno-math-errno \
	-Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes $(WERROR) \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1)
PLAIN_CPPFLAGS = -D_GNU_SOURCE -Isrc -MMD -MP
PLAIN_LDFLAGS = -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE))

MACHINE := $(shell uname -m)
ISA_SUFFIXES = avx2 avxvnni avx512 avx512vnni
# of no account: values of the wide vector types are inlined, none is passed
scalar_FLAGS = -Wno-psabi
avx2_FLAGS = -mavx2 -mfma -mf16c -mbmi2 -mpopcnt -Wno-psabi
avxvnni_FLAGS = $(avx2_FLAGS) -mavxvnni
avx512_FLAGS = $(avx2_FLAGS) -mavx512f -mavx512bw -mavx512vl -mavx512dq
avx512vnni_FLAGS = $(avx512_FLAGS) -mavx512vnni
# clang takes minutes for a kernel with all sanitizers at once; gcc's tests have them all
ifneq ($(findstring fuzzer,$(SANITIZE)),)
$(foreach s,scalar $(ISA_SUFFIXES),$(eval $s_FLAGS += -fno-sanitize=undefined))
endif
isa_of = $(lastword $(subst _, ,$(basename $(notdir $1))))

plain_sources = $(foreach d,$1,$(wildcard $d/*.c))
ifneq ($(MACHINE),x86_64)
portable_only = $(filter-out $(foreach s,$(ISA_SUFFIXES),%_$s.c),$1)
else
portable_only = $1
endif
SIMD_SOURCES = $(call portable_only,$(call plain_sources,src/simd))
TEXT_SOURCES = $(call plain_sources,src/text)
ENGINE_SOURCES = $(call portable_only,$(call plain_sources,src/engine src/engine/cpu))
ENGINE_MAIN = src/engine/main.c
ENGINE_LIBRARY_SOURCES = $(filter-out $(ENGINE_MAIN),$(ENGINE_SOURCES)) $(SIMD_SOURCES)
# what the module itself needs of the plain rooms
MODULE_PLAIN_SOURCES = $(SIMD_SOURCES) $(TEXT_SOURCES) \
	$(wildcard src/engine/protocol.c src/engine/error.c)

objects = $(patsubst %.c,$(BUILD)/%.o,$1)
ENGINE_LIBRARY = $(BUILD)/libragengine.a
ENGINE = $(BUILD)/rag-engine
XML_CFLAGS := $(shell xml2-config --cflags 2>/dev/null || echo -I/usr/include/libxml2)

$(BUILD)/src/text/%.o: PLAIN_CPPFLAGS += $(XML_CFLAGS)
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(PLAIN_CC) $(PLAIN_CFLAGS) $($(call isa_of,$<)_FLAGS) $(PLAIN_CPPFLAGS) -c -o $@ $<

$(ENGINE_LIBRARY): $(call objects,$(ENGINE_LIBRARY_SOURCES))
	@rm -f $@
	$(AR) rcs $@ $^

$(ENGINE): $(call objects,$(wildcard $(ENGINE_MAIN))) $(ENGINE_LIBRARY)
	$(PLAIN_CC) $(PLAIN_LDFLAGS) -o $@ $^ -lm -ldl

# C tests: each test/engine/test_*.c, test/text/test_*.c ... is a program that prints TAP.
C_TEST_SOURCES = $(wildcard test/*/test_*.c)
C_TESTS = $(patsubst test/%.c,$(BUILD)/test/%,$(C_TEST_SOURCES))
FUZZ_SOURCES = $(wildcard test/*/fuzz_*.c)
TEXT_LIBRARY = $(BUILD)/libragtext.a
$(TEXT_LIBRARY): $(call objects,$(TEXT_SOURCES))
	@rm -f $@
	$(AR) rcs $@ $^
$(C_TESTS): $(BUILD)/test/%: test/%.c $(ENGINE_LIBRARY) $(TEXT_LIBRARY)
	@mkdir -p $(@D)
	$(PLAIN_CC) $(PLAIN_CFLAGS) $(PLAIN_CPPFLAGS) -Itest $(PLAIN_LDFLAGS) -o $@ $< \
		$(TEXT_LIBRARY) $(ENGINE_LIBRARY) $$(xml2-config --libs 2>/dev/null || echo -lxml2) -lm -ldl

.PHONY: engine c-tests
engine: $(ENGINE)
c-tests: $(C_TESTS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

include cuda/cuda.mk

# Goals of the plain rooms alone need no PostgreSQL.
ifneq ($(filter-out engine c-tests $(CUDA_GOALS) $(BUILD)/%,$(or $(MAKECMDGOALS),all)),)

# ---------------------------------------------------------------------------
# The module: PostgreSQL rooms by PGXS, linked with the plain objects.
# ---------------------------------------------------------------------------
PG_ROOMS = src src/type src/hnsw src/exact src/serve src/remote src/batch src/sql
PG_SOURCES = $(foreach d,$(PG_ROOMS),$(wildcard $d/*.c))
PG_OBJECTS = $(PG_SOURCES:.c=.o)
OBJS = $(PG_OBJECTS) $(call objects,$(MODULE_PLAIN_SOURCES))
PG_CPPFLAGS = -Isrc
PG_CFLAGS = -std=gnu11 -O2 -Wextra -Wshadow -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Wno-cast-function-type \
	$(if $(findstring clang,$(CC)),-Wno-ignored-optimization-argument \
		-Wno-unknown-warning-option -Wno-compound-token-split-by-macro -Wno-ignored-attributes,-Wno-clobbered) \
	$(WERROR) -MMD -MP
SHLIB_LINK = $(shell xml2-config --libs 2>/dev/null || echo -lxml2) -lm \
	-Wl,-Bsymbolic -Wl,--version-script=$(BUILD)/rag.exports
EXTRA_CLEAN = build $(PG_SOURCES:.c=.d)

# bitcode for PostgreSQL's JIT would need clang and gains nothing here
override with_llvm = no
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq ($(PGXS),)
$(error no pg_config found: install the PostgreSQL server headers (make deps) or set PG_CONFIG)
endif
include $(PGXS)

-include $(PG_SOURCES:.c=.d)

# element-wise loops
src/type/%.o: CFLAGS += $(CFLAGS_VECTORIZE)

# Only what PostgreSQL looks up by name is exported: it loads modules RTLD_GLOBAL.
$(BUILD)/rag.exports: $(PG_OBJECTS)
	@mkdir -p $(@D)
	@{ echo '{ global: Pg_magic_func; _PG_init;'; \
	   nm -g --defined-only $(PG_OBJECTS) | sed -n 's/.* pg_finfo_\(.*\)/pg_finfo_\1; \1;/p'; \
	   nm -g --defined-only $(PG_OBJECTS) | sed -n 's/.* \(Rag[A-Za-z]*WorkerMain\)$$/\1;/p'; \
	   echo 'local: *; };'; } > $@
rag.so: $(BUILD)/rag.exports

# Scripts of extensions: the parts that two of them share are included.
build/sql/%.sql: sql/%.sql sql/vector.sql sql/include.awk
	@mkdir -p $(@D)
	awk -f sql/include.awk $< >$@.new
	@mv $@.new $@

# The extension "vector", only when asked for: it takes the place of pgvector's. Versions
# 0.8.0 to 0.8.6 of that have the same objects, so one script moves from any of them.
VECTOR_SCRIPTS = $(patsubst %,build/%,$(wildcard sql/vector--*.sql))
VECTOR_FOLDER = $(DESTDIR)$(datadir)/extension
.PHONY: install-vector uninstall-vector
install-vector: install $(VECTOR_SCRIPTS)
	$(INSTALL_DATA) sql/vector.control $(VECTOR_SCRIPTS) '$(VECTOR_FOLDER)/'
	for version in 0 1 2 3 4 5; do \
		$(INSTALL_DATA) build/sql/vector--0.8.6--rag.sql "$(VECTOR_FOLDER)/vector--0.8.$$version--rag.sql"; \
	done
uninstall-vector:
	rm -f '$(VECTOR_FOLDER)/vector.control' '$(VECTOR_FOLDER)'/vector--0.8.?--rag.sql \
		$(patsubst build/sql/%,'$(VECTOR_FOLDER)/%',$(VECTOR_SCRIPTS))

all: $(ENGINE) $(CUDA_LIBRARY)
install: install-engine
.PHONY: install-engine
install-engine: $(ENGINE)
	$(MKDIR_P) '$(DESTDIR)$(pkglibdir)'
	$(INSTALL_PROGRAM) $(ENGINE) '$(DESTDIR)$(pkglibdir)/rag-engine'
	$(if $(CUDA_LIBRARY),$(INSTALL_SHLIB) $(CUDA_LIBRARY) '$(DESTDIR)$(pkglibdir)/rag_cuda.so')
uninstall: uninstall-engine
.PHONY: uninstall-engine
uninstall-engine:
	rm -f '$(DESTDIR)$(pkglibdir)/rag-engine' '$(DESTDIR)$(pkglibdir)/rag_cuda.so'

endif
endif
