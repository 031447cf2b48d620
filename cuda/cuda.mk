# cuda.mk: the CUDA backend, and its tests on a machine without a GPU. Part of the Makefile.
#
#   make CUDA=1          rag_cuda.so too, by the toolkit in CUDA_HOME
#   make check-cuda      the kernels and the backend on the emulator of test/cuda (needs g++ only)
#   make cuda-resources  registers, shared memory and occupancy of the kernels; fails on a spill
#   make cuda-ptx        what nvcc made of the kernels, to run on the emulator; part of check-cuda
#   make bench-cuda      measurements on a machine with a GPU

CUDA ?=
CUDA_HOME ?= $(patsubst %/bin/nvcc,%,$(firstword $(wildcard /usr/local/cuda/bin/nvcc \
	/usr/local/cuda-*/bin/nvcc /opt/cuda/bin/nvcc) $(shell command -v nvcc 2>/dev/null)))
CUDA_GOALS = rag_cuda.so check-cuda cuda-tests cuda-ptx cuda-resources bench-cuda

CUDA_KERNELS = $(wildcard cuda/*.cu)
CUDA_HOST = $(wildcard cuda/*.c)
# what the backend has in common with the engine
CUDA_SHARED = src/engine/error.c src/engine/utf8.c src/engine/dequant.c src/engine/cpu/raw_block.c
CUDA_HEADERS = $(wildcard cuda/*.h cuda/*.cuh) src/engine/backend.h src/engine/model.h \
	src/engine/sampler.h src/engine/error.h

# ---------------------------------------------------------------------------
# The library. cudart and cuBLAS are linked dynamically and found by RUNPATH.
# ---------------------------------------------------------------------------
CUDA_LIBRARY = $(if $(CUDA),$(BUILD)/rag_cuda.so)
CUDA_KNOWN = $(shell $(CUDA_HOME)/bin/nvcc --list-gpu-arch 2>/dev/null | sed 's/compute_//')
CUDA_ARCHS ?= $(filter 80 86 89 90 100 120,$(CUDA_KNOWN))
CUDA_GENCODE = $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$a,code=sm_$a) \
	-gencode arch=compute_80,code=compute_80
CUDA_LIBDIR = $(firstword $(wildcard $(CUDA_HOME)/lib64 $(CUDA_HOME)/lib))
NVCCFLAGS = -std=c++17 -O3 -lineinfo -Xcompiler -fPIC,-Wall,-Wextra,-fvisibility=hidden \
	$(if $(WERROR),-Werror all-warnings) -I. -Isrc

$(BUILD)/cuda/%.cu.o: cuda/%.cu $(CUDA_HEADERS)
	@mkdir -p $(@D)
	$(CUDA_HOME)/bin/nvcc $(NVCCFLAGS) $(CUDA_GENCODE) -c -o $@ $<
$(BUILD)/cuda/%.o: cuda/%.c $(CUDA_HEADERS)
	@mkdir -p $(@D)
	$(PLAIN_CC) $(PLAIN_CFLAGS) $(PLAIN_CPPFLAGS) -I. -isystem $(CUDA_HOME)/include -c -o $@ $<
$(BUILD)/rag_cuda.so: $(CUDA_KERNELS:%=$(BUILD)/%.o) $(CUDA_HOST:%.c=$(BUILD)/%.o) \
		$(call objects,$(CUDA_SHARED))
	$(CXX) -shared -o $@ $^ -L$(CUDA_LIBDIR) -lcudart -lcublas -lm -pthread \
		-Wl,--enable-new-dtags,-rpath,$(CUDA_LIBDIR) -Wl,-Bsymbolic
.PHONY: rag_cuda.so
rag_cuda.so: $(BUILD)/rag_cuda.so

# ---------------------------------------------------------------------------
# The same sources on the emulator: one library with all in it, and the tests.
# ---------------------------------------------------------------------------
EMULATED = $(BUILD)/emulated
EMULATOR_SOURCES = $(wildcard test/cuda/emulator/*.c)
EMULATOR_HEADERS = $(wildcard test/cuda/emulator/*.h)
# wide vectors are for speed alone
EMULATOR_FLAGS = -fno-strict-aliasing -Itest/cuda/emulator -I. \
	$(if $(findstring avx2,$(shell cat /proc/cpuinfo 2>/dev/null)),$(avx2_FLAGS))
EMULATED_CXX ?= $(if $(findstring clang,$(PLAIN_CC)),clang++,g++)
EMULATED_CXXFLAGS = -std=c++20 $(if $(SANITIZE),-O1,-O2) -g -fPIC -fvisibility=hidden -pthread \
	-Wall -Wextra -Wno-unknown-pragmas $(WERROR) \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
EMULATED_OBJECTS = $(CUDA_KERNELS:%=$(EMULATED)/%.o) $(CUDA_HOST:%.c=$(EMULATED)/%.o) \
	$(EMULATOR_SOURCES:%.c=$(EMULATED)/%.o)

$(EMULATED)/%.cu.o: %.cu $(CUDA_HEADERS) $(EMULATOR_HEADERS)
	@mkdir -p $(@D)
	$(EMULATED_CXX) $(EMULATED_CXXFLAGS) $(EMULATOR_FLAGS) -Isrc -Itest -x c++ -c -o $@ $<
$(EMULATED)/%.o: %.c $(CUDA_HEADERS) $(EMULATOR_HEADERS)
	@mkdir -p $(@D)
	$(PLAIN_CC) $(PLAIN_CFLAGS) $(EMULATOR_FLAGS) $(PLAIN_CPPFLAGS) -Itest -Itest/engine -c -o $@ $<
# the emulator makes the threads that ThreadSanitizer is to watch; it is none of them
$(EMULATOR_SOURCES:%.c=$(EMULATED)/%.o): EMULATOR_FLAGS += \
	$(if $(findstring thread,$(SANITIZE)),-fno-sanitize=thread -DEMULATOR_TSAN)
$(EMULATED)/rag_cuda.so: $(EMULATED_OBJECTS) $(call objects,$(CUDA_SHARED))
	$(EMULATED_CXX) -shared -o $@ $^ $(PLAIN_LDFLAGS) -lm

CUDA_TEST_SOURCES = $(wildcard test/cuda/check_*.c test/cuda/check_*.cu)
CUDA_TESTS = $(patsubst test/cuda/%,$(EMULATED)/%,$(basename $(CUDA_TEST_SOURCES)))
$(CUDA_TESTS): $(EMULATED)/%: $(ENGINE_LIBRARY) $(EMULATED_OBJECTS)
	$(EMULATED_CXX) $(PLAIN_LDFLAGS) -o $@ $(filter $(EMULATED)/test/cuda/$*.o \
		$(EMULATED)/test/cuda/$*.cu.o,$^) $(EMULATED_OBJECTS) $(ENGINE_LIBRARY) -lm -ldl
$(foreach t,$(CUDA_TEST_SOURCES),$(eval $(patsubst test/cuda/%,$(EMULATED)/%,$(basename $t)): \
	$(EMULATED)/$(patsubst %.c,%,$t).o))

.PHONY: check-cuda cuda-tests
cuda-tests: $(CUDA_TESTS) $(EMULATED)/rag_cuda.so
check-cuda:
	@test/tools/run-tests cuda

# ---------------------------------------------------------------------------
# The library as nvcc built it, on the emulator: a libcudart whose kernels are nvcc's PTX, instruction by
# instruction, and a libcublas. LD_LIBRARY_PATH=$(BUILD)/ptx comes before the library's RUNPATH.
# ---------------------------------------------------------------------------
PTX = $(BUILD)/ptx
CUDA_MAJOR = $(shell $(CUDA_HOME)/bin/nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9]*\)[.].*/\1/p')
PTX_EMULATOR = $(patsubst test/cuda/emulator/%.c,$(PTX)/%.o,$(filter-out %/blas.c,$(EMULATOR_SOURCES)))
PTX_CXXFLAGS = $(filter-out -O% -fvisibility=hidden,$(EMULATED_CXXFLAGS)) $(EMULATOR_FLAGS) -ffp-contract=off
PTX_CHECKS = $(patsubst %,$(PTX)/check_%,attention linear models rows vectors)

$(PTX)/%.ptx: cuda/%.cu $(CUDA_HEADERS)
	@mkdir -p $(@D)
	$(CUDA_HOME)/bin/nvcc $(NVCCFLAGS) -arch=compute_80 -ptx -o $@ $<
$(PTX)/kernels.cc: $(CUDA_KERNELS:cuda/%.cu=$(PTX)/%.ptx) test/cuda/ptx/translate.py
	python3 test/cuda/ptx/translate.py $(filter %.ptx,$^) >$@.new && mv $@.new $@
$(PTX)/kernels.o: $(PTX)/kernels.cc test/cuda/ptx/ptx.h $(EMULATOR_HEADERS)
	$(EMULATED_CXX) $(PTX_CXXFLAGS) -w -O1 -g0 -Itest/cuda/ptx -c -o $@ $<
$(PTX)/cudart.o: test/cuda/ptx/cudart.cc test/cuda/ptx/ptx.h $(EMULATOR_HEADERS)
	@mkdir -p $(@D)
	$(EMULATED_CXX) $(PTX_CXXFLAGS) -O2 -Itest/cuda/ptx -c -o $@ $<
$(PTX)/%.o: test/cuda/emulator/%.c $(EMULATOR_HEADERS)
	@mkdir -p $(@D)
	$(PLAIN_CC) $(filter-out -fvisibility=hidden,$(PLAIN_CFLAGS)) $(EMULATOR_FLAGS) $(PLAIN_CPPFLAGS) -c -o $@ $<
$(PTX)/libcudart.so: $(PTX)/kernels.o $(PTX)/cudart.o $(PTX_EMULATOR)
	echo 'libcudart.so.$(CUDA_MAJOR) { global: *; };' >$(PTX)/cudart.map
	$(EMULATED_CXX) -shared -Wl,-soname,libcudart.so.$(CUDA_MAJOR),--version-script,$(PTX)/cudart.map \
		-o $@ $^ -lm -pthread
	ln -sf libcudart.so $(PTX)/libcudart.so.$(CUDA_MAJOR)
$(PTX)/libcublas.so: $(PTX)/blas.o $(PTX)/libcudart.so
	echo 'libcublas.so.$(CUDA_MAJOR) { global: *; };' >$(PTX)/cublas.map
	$(EMULATED_CXX) -shared -Wl,-soname,libcublas.so.$(CUDA_MAJOR),--version-script,$(PTX)/cublas.map -o $@ $^
	ln -sf libcublas.so $(PTX)/libcublas.so.$(CUDA_MAJOR)
$(PTX_CHECKS): $(PTX)/%: $(EMULATED)/test/cuda/%.o $(ENGINE_LIBRARY) $(BUILD)/rag_cuda.so $(PTX)/libcublas.so
	$(EMULATED_CXX) -o $@ $^ $(PTX)/libcudart.so -lm -ldl -pthread -Wl,-rpath-link,$(PTX)
.PHONY: cuda-ptx
cuda-ptx: $(PTX_CHECKS) $(PTX)/check_engine
# loads the library as rag-engine does
$(PTX)/check_engine: $(EMULATED)/check_engine $(BUILD)/rag_cuda.so $(PTX)/libcublas.so
	cp $< $@
	ln -sf ../rag_cuda.so $(PTX)/rag_cuda.so

# ---------------------------------------------------------------------------
# What the compiler made of the kernels.
# ---------------------------------------------------------------------------
.PHONY: cuda-home cuda-resources bench-cuda
cuda-home:
	@echo $(CUDA_HOME)
cuda-resources:
	@test/cuda/resources $(CUDA_HOME) $(BUILD)/cuda-resources
bench-cuda:
	@test/bench/cuda
